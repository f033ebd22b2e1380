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
/// because clients may resolve a name to either family first (trap 6); IPv6 is optional where the machine has none.
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
    let first = bound((v4, port).into())?;
    // The same free port for both.
    let port = first.local_addr().map_or(port, |address| address.port());
    let mut listeners = vec![first];
    match bound((v6, port).into()) {
        Ok(second) => listeners.push(second),
        Err(error) => debug!(%error, "no IPv6 listener beside the IPv4 one"),
    }
    Ok(listeners)
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
