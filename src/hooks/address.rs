//! Which addresses a request may go to: those of the public internet, and nothing that only this machine or its network can reach.
//!
//! Source: IANA's registries of special-purpose addresses (RFC 6890 and its updates). An IPv6 address that carries an IPv4 address (mapped,
//! compatible, NAT64, 6to4, Teredo, ISATAP) is as public as what it carries, or not at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not the public internet: address and length of the prefix.
const PRIVATE_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),          // This network.
    ([10, 0, 0, 0], 8),         // Private.
    ([100, 64, 0, 0], 10),      // Behind a carrier's NAT.
    ([127, 0, 0, 0], 8),        // Loopback.
    ([169, 254, 0, 0], 16),     // Link-local, and the metadata of clouds.
    ([172, 16, 0, 0], 12),      // Private.
    ([192, 0, 0, 0], 24),       // Protocol assignments; 192.0.0.192 is a cloud's metadata.
    ([192, 0, 2, 0], 24),       // Documentation.
    ([192, 31, 196, 0], 24),    // AS112.
    ([192, 52, 193, 0], 24),    // AMT.
    ([192, 88, 99, 0], 24),     // 6to4 relays.
    ([192, 168, 0, 0], 16),     // Private.
    ([192, 175, 48, 0], 24),    // AS112.
    ([198, 18, 0, 0], 15),      // Benchmarks.
    ([198, 51, 100, 0], 24),    // Documentation.
    ([203, 0, 113, 0], 24),     // Documentation.
    ([168, 63, 129, 16], 32),   // A cloud's platform services, on a public address.
    ([100, 100, 100, 200], 32), // A cloud's metadata; within the carrier's NAT, and named all the same.
    ([224, 0, 0, 0], 4),        // Multicast.
    ([240, 0, 0, 0], 4),        // Reserved, and broadcast.
];

/// Whether a request may go to `address` when private ones are not allowed.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !PRIVATE_V4.iter().any(|(network, length)| {
        let mask = u32::MAX << (32 - length);
        bits & mask == u32::from_be_bytes(*network) & mask
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        // Unspecified, loopback and IPv4-compatible (::/96), mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96): no address that
        // a public host has, or one of IPv4 in other clothes.
        [0, 0, 0, 0, 0, 0xffff] => return is_public_v4(v4(g, h)),
        [0, 0, 0, 0, ..] => return false,
        // NAT64 (RFC 6052): goes where the IPv4 address says.
        [0x64, 0xff9b, 0, 0, 0, 0] => return is_public_v4(v4(g, h)),
        _ => {}
    }
    // ISATAP (RFC 5214) hides an IPv4 address in the interface's part of any network.
    if (e & 0xfdff) == 0 && f == 0x5efe && !is_public_v4(v4(g, h)) {
        return false;
    }
    match (a, b) {
        // 6to4 (RFC 3056).
        (0x2002, _) => is_public_v4(v4(b, c)),
        // Teredo, benchmarks, ORCHID and other protocol assignments (2001::/23), documentation.
        (0x2001, ..0x200 | 0xdb8) => false,
        // Documentation (RFC 9637): 3fff::/20.
        (0x3fff, ..0x1000) => false,
        // Global unicast is 2000::/3; all else is local, multicast, or nobody's: fc00::/7, fe80::/10, fec0::/10, ff00::/8, 64:ff9b:1::/48, 100::/64.
        _ => (a & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_taken() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ];
        for address in public {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn addresses_that_others_cannot_reach_are_refused() {
        let private = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:db8::1",
            "2001:20::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:a9fe:a9fe::1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:127.0.0.1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
    }
}
