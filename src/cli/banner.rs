//! What `fbf serve` says on standard output once it can be used.

use super::version::VERSION;
use crate::config::{Config, Sync};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::absolute;

/// Version, addresses with their real ports, data directory, sync policy, and how to connect. `over_http`: the API and the schema registry, as far as
/// they are served.
pub(super) fn text(config: &Config, addresses: &[SocketAddr], over_http: [Option<SocketAddr>; 2]) -> String {
    let listening = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("fbf {VERSION} is ready"), format!("  listening  {listening}")];
    for (name, address) in ["http       ", "schemas    "].into_iter().zip(over_http) {
        if let Some(address) = address {
            lines.push(format!("  {name}http://{}", reachable(&[address]).unwrap_or(address)));
        }
    }
    if config.storage.ephemeral {
        lines.push("  data       in memory only; all is gone at the end".to_owned());
    } else {
        let path = absolute(&config.storage.path).unwrap_or_else(|_| config.storage.path.clone());
        lines.push(format!("  data       {}", path.display()));
        lines.push(format!("  sync       {}", sync_policy(config)));
    }
    if let Some(address) = reachable(addresses) {
        lines.push(format!("  try        kcat -b {address} -L"));
    }
    lines.join("\n") + "\n"
}

fn sync_policy(config: &Config) -> String {
    match config.storage.sync {
        Sync::Commit => "commit: every record is on disk before it is acknowledged".to_owned(),
        Sync::Interval => {
            format!(
                "interval: on disk within {} ms; a power failure may lose what was acknowledged",
                config.storage.sync_interval_ms
            )
        }
        Sync::Os => "os: whenever the system likes; a power failure may lose what was acknowledged".to_owned(),
    }
}

/// An address that works from this machine; IPv4 first, since not every client tries IPv6.
fn reachable(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first())?;
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Some(SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banner_names_real_ports_and_a_command_that_works_here() {
        let addresses = ["[::]:40001", "0.0.0.0:40001"].map(|address| address.parse().expect("an address"));
        let over_http = ["0.0.0.0:40002", "127.0.0.1:40003"].map(|address| address.parse().ok());
        let text = text(&Config::default(), &addresses, over_http);
        assert!(text.contains("\n  schemas    http://127.0.0.1:40003\n"), "{text}");
        assert!(text.contains("\n  http       http://127.0.0.1:40002\n"), "{text}");
        assert!(text.contains("[::]:40001, 0.0.0.0:40001"), "{text}");
        assert!(text.contains("kcat -b 127.0.0.1:40001 -L"), "{text}");
        assert!(text.contains("/fbf-data") && text.contains("commit"), "{text}");
    }

    #[test]
    fn banner_promises_no_durability_in_memory() {
        let mut config = Config::default();
        config.storage.ephemeral = true;
        let text = text(&config, &["127.0.0.1:9092".parse().expect("an address")], [None, None]);
        assert!(!text.contains("http"), "{text}");
        assert!(text.contains("in memory") && !text.contains("sync"), "{text}");
    }
}
