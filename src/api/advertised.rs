//! The address that clients are told to connect to.
//!
//! `server.advertised` where it is set, or what Kafka's `advertised.listeners` has for the listener that this client came by. Else the address at which this client reached us, which it can reach again whatever names,
//! containers and networks lie between; a host name would have to be resolved once more, and `localhost` may come out as ::1 first.

use super::Context;
use crate::config::split_address;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Host and port to advertise to this client. An IPv6 host comes without brackets, as Kafka sends it.
#[must_use]
pub fn endpoint(context: &Context) -> (String, i32) {
    let server = &context.broker.config.server;
    let local = context.connection.local;
    // The configuration has checked that it is an address.
    match server.advertised_at(local).and_then(|configured| split_address(configured).ok()) {
        Some((host, port)) => (host.to_owned(), i32::from(port)),
        None => (reached(local, &server.listen).to_string(), i32::from(local.port())),
    }
}

/// The address to advertise to a client that reached us at `local`. A mapped IPv4 address becomes a plain one, and ::1 becomes 127.0.0.1
/// where we listen there too: all clients can write that down, not all can an IPv6 address.
fn reached(local: SocketAddr, listen: &[String]) -> IpAddr {
    let ip = local.ip().to_canonical();
    let serves_ipv4_loopback = || listen.iter().any(|address| covers_ipv4_loopback(address, local.port()));
    if ip.is_ipv6() && ip.is_loopback() && serves_ipv4_loopback() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }
}

fn covers_ipv4_loopback(listen: &str, port: u16) -> bool {
    let Ok((host, listened)) = split_address(listen) else { return false };
    // Port 0 is any free port: the one that was found.
    let is_port = listened == port || listened == 0;
    is_port && (matches!(host, "" | "*" | "0.0.0.0" | "::" | "localhost") || host.starts_with("127."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(local: &str, listen: &[&str]) -> String {
        let listen: Vec<String> = listen.iter().map(|&address| address.to_owned()).collect();
        reached(local.parse().expect("an address"), &listen).to_string()
    }

    #[test]
    fn a_client_is_told_where_it_reached_us() {
        assert_eq!(told("10.1.2.3:9092", &["0.0.0.0:9092"]), "10.1.2.3");
        assert_eq!(told("[::ffff:10.1.2.3]:9092", &["[::]:9092"]), "10.1.2.3");
        assert_eq!(told("[2001:db8::1]:9092", &["[::]:9092"]), "2001:db8::1");
    }

    #[test]
    fn ipv6_loopback_is_told_as_ipv4_where_that_is_served() {
        assert_eq!(told("[::1]:9092", &["[::]:9092"]), "127.0.0.1");
        assert_eq!(told("[::1]:9092", &["[::1]:9092", "127.0.0.1:9092"]), "127.0.0.1");
        assert_eq!(told("[::1]:41234", &["localhost:0"]), "127.0.0.1");
        assert_eq!(told("[::1]:9092", &["[::1]:9092"]), "::1");
        assert_eq!(told("[::1]:9092", &["[::1]:9092", "127.0.0.1:9093"]), "::1");
    }
}
