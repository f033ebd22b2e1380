//! Sockets, whatever is spoken on them: addresses that are listened on, and what every accepted connection gets.

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

/// Connections that the kernel keeps waiting for us.
const BACKLOG: i32 = 1024;
/// How many ports are tried for one that is free in both families.
const PORTS_TRIED: usize = 16;

/// Why nobody listens.
#[derive(Debug, Error)]
pub enum ListenError {
    #[error("the name does not resolve to an address: {0}")]
    Unresolved(io::Error),
    #[error("address {address} cannot be listened on: {error}")]
    Refused { address: SocketAddr, error: io::Error },
}

impl ListenError {
    /// Somebody else listens there.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self, ListenError::Refused { error, .. } if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// Binds `host` and `port` (0: a free one). `localhost` means both loopback addresses, and `*`, nothing, `0.0.0.0` or `::` every address of both families,
/// because clients may resolve a name to either family first; IPv6 is optional where the machine has none, but not where somebody else
/// listens there: half of the clients would talk to them.
///
/// # Errors
/// [`ListenError`]; nothing is bound then.
pub fn listen(host: &str, port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let pair = match host {
        "localhost" => Some((Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST)),
        "*" | "" | "0.0.0.0" | "::" => Some((Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED)),
        _ => None,
    };
    let Some((v4, v6)) = pair else {
        let resolved: BTreeSet<SocketAddr> = (host, port).to_socket_addrs().map_err(ListenError::Unresolved)?.collect();
        return all_of_this_machine(resolved);
    };
    let mut tries = if port == 0 { PORTS_TRIED } else { 1 };
    loop {
        tries -= 1;
        match both((v4, v6), port) {
            Err(error) if error.is_in_use() && tries > 0 => {}
            listeners => return listeners,
        }
    }
}

fn both((v4, v6): (Ipv4Addr, Ipv6Addr), port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let first = bound((v4, port).into())?;
    // The same free port for both.
    let port = first.local_addr().map_or(port, |address| address.port());
    match bound((v6, port).into()) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.is_in_use() => Err(error),
        Err(error) => {
            debug!(%error, "no IPv6 listener beside the IPv4 one");
            Ok(vec![first])
        }
    }
}

/// Those of another machine are left out, unless all are.
fn all_of_this_machine(addresses: BTreeSet<SocketAddr>) -> Result<Vec<TcpListener>, ListenError> {
    let (mut listeners, mut foreign) = (Vec::new(), None);
    for address in addresses {
        match bound(address) {
            Ok(listener) => listeners.push(listener),
            Err(ListenError::Refused { error, .. }) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                foreign = Some(ListenError::Refused { address, error });
            }
            Err(error) => return Err(error),
        }
    }
    match foreign {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

fn bound(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            // The two families have a socket each.
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error| ListenError::Refused { address, error })
}

/// Small answers leave at once; a peer that vanished behind a balancer is noticed. Best effort: a socket works without.
pub fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// Ends the connection when its peer has taken nothing of what there is to send for `patience` (TCP_USER_TIMEOUT, tcp(7)), also one that is alive and does not
/// read; one that is gone, too, in place of what [`prepare`] says of it. Nothing to send, nothing happens. Best effort, as [`prepare`].
pub fn give_up_after(stream: &TcpStream, patience: Duration) {
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_port_that_somebody_has_in_one_family_is_in_use() {
        let Ok(other) = bound((Ipv6Addr::LOCALHOST, 0).into()) else { return };
        let port = other.local_addr().expect("bound").port();
        let error = listen("localhost", port).expect_err("clients that take ::1 would come to somebody else");
        assert!(error.is_in_use() && error.to_string().contains(&format!("[::1]:{port}")), "{error}");
        drop(other);
        assert_eq!(listen("localhost", port).expect("free now").len(), 2);
    }

    /// Balancers forget an idle connection without a word; a peer behind one that is gone says nothing either.
    #[tokio::test]
    async fn idle_connections_are_kept_alive_and_answers_are_not_held_back() {
        let listener = bound((Ipv4Addr::LOCALHOST, 0).into()).expect("bound");
        let _peer = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (stream, _) = listener.accept().await.expect("accepted");
        let socket = SockRef::from(&stream);
        assert!(!socket.keepalive().expect("told"), "not by itself");
        prepare(&stream);
        assert!(socket.keepalive().expect("told") && stream.nodelay().expect("told"));
        assert_eq!(rustix::net::sockopt::tcp_keepidle(&stream).expect("told"), Duration::from_secs(60));
        assert_eq!(rustix::net::sockopt::tcp_keepintvl(&stream).expect("told"), Duration::from_secs(15));
    }

    #[tokio::test]
    async fn a_peer_that_lives_and_never_reads_is_given_up() {
        let listener = bound((Ipv4Addr::LOCALHOST, 0).into()).expect("bound");
        let _peer = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (mut stream, _) = listener.accept().await.expect("accepted");
        prepare(&stream);
        give_up_after(&stream, Duration::from_millis(500));
        let piece = vec![0u8; 1 << 20];
        let written = async { while stream.write_all(&piece).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(60), written).await.expect("ends, though its peer is alive");
    }
}
