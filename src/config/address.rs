//! Addresses as the configuration writes them: `host:port`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Host (an IPv6 address without its brackets; empty or `*` for every interface) and port of `host:port`.
///
/// # Errors
/// What is wrong with it, and how an address looks.
pub fn split_address(address: &str) -> Result<(&str, u16), String> {
    let wrong =
        |reason: &str| format!("{address:?} {reason}; write host:port, [IPv6 address]:port, or *:port for every interface");
    let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
    let port = port.parse::<u16>().map_err(|_| wrong("has no port from 0 to 65535 behind its last colon"))?;
    if let Some(rest) = host.strip_prefix('[') {
        let inner = rest.strip_suffix(']').filter(|inner| inner.parse::<Ipv6Addr>().is_ok());
        return inner.map(|inner| (inner, port)).ok_or_else(|| wrong("has no IPv6 address in its brackets"));
    }
    if host.contains(':') {
        return Err(wrong("has an IPv6 address without brackets"));
    }
    if host.chars().any(|c| c.is_whitespace() || matches!(c, '/' | ',' | '[' | ']')) {
        return Err(wrong("is not an address"));
    }
    Ok((host, port))
}

/// Whether who reached us at `local` came by the listener at `listen`. A host that is a name counts as any: names are resolved when they are bound.
pub(super) fn covers(listen: &str, local: SocketAddr) -> bool {
    let Ok((host, port)) = split_address(listen) else { return false };
    let is_host = match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_unspecified() || ip == local.ip().to_canonical(),
        Err(_) => true,
    };
    port == local.port() && is_host
}

/// An address that clients can be told: a host, not every interface.
pub(super) fn check_advertised(address: &str) -> Result<(), String> {
    let (host, port) = split_address(address)?;
    if matches!(host, "" | "*" | "0.0.0.0" | "::") {
        return Err(format!("{address:?} names every interface; clients need one host that they can reach"));
    }
    if port == 0 {
        return Err(format!("{address:?} has port 0; clients need the real one"));
    }
    Ok(())
}
