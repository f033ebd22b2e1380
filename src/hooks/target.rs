//! Where an endpoint's requests go: a URL that was looked at, when it was registered and again before each request.

use super::address::is_public;
use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longer URLs are refused.
const LENGTH_MAX: usize = 2048;
/// Ports of services that read what an HTTP client sends as their own commands (Fetch standard, "port blocking"), and a few more of databases and of orchestration.
const BLOCKED_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111,
    113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554,
    556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 2375, 2379, 3306, 3659, 4045, 4190, 5060, 5061, 5432,
    6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211, 27017,
];

/// What the configuration allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub allow_private_addresses: bool,
    pub allow_http: bool,
}

impl Rules {
    /// Whether a request may go to `address`.
    #[must_use]
    pub fn allow(self, address: IpAddr) -> bool {
        self.allow_private_addresses || is_public(address)
    }

    /// The URL, if requests may go there as far as the URL itself can tell: what a name resolves to is looked at when it is resolved.
    ///
    /// # Errors
    /// What is wrong with it and what to do.
    pub fn check(self, text: &str) -> Result<Url, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("url has {} characters; the most is {LENGTH_MAX}", text.len()));
        }
        let url = Url::parse(text).map_err(|error| format!("url {text:?} is no URL: {error}; write https://host/path"))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http || self.allow_private_addresses => {}
            "http" => {
                return Err(format!("url {text:?} is not encrypted; use https, or set hooks.allow_http = true"));
            }
            scheme => return Err(format!("url {text:?} has the scheme {scheme:?}; use https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            // It is not shown: it has a password.
            return Err("url has a user or password before its host; authenticate requests by their signature instead".to_owned());
        }
        if url.fragment().is_some() {
            return Err(format!("url {text:?} has a fragment (#…), which is never sent; leave it out"));
        }
        if let Some(port) = url.port_or_known_default().filter(|port| BLOCKED_PORTS.contains(port)) {
            return Err(format!("url {text:?}: port {port} is not one of HTTP; use another"));
        }
        // The parser has made an address of every form that it takes for one: 0x7f.1, 2130706433, 127.1, full-width digits.
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() {
            return Err(format!("url {text:?} has no host"));
        }
        if let Some(address) = literal(host)
            && !self.allow(address)
        {
            return Err(format!(
                "url {text:?}: {address} is not a public address; use a public one, or set hooks.allow_private_addresses = true"
            ));
        }
        if !self.allow_private_addresses && is_local_name(host) {
            return Err(format!(
                "url {text:?}: {host:?} is a name of a private network; use a public one, or set hooks.allow_private_addresses = true"
            ));
        }
        Ok(url)
    }
}

/// The address that a URL's host is, if it is no name.
fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Names that are nobody's on the internet (RFC 6761, RFC 6762, RFC 8375), with or without the dot at the end.
fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    ["localhost", "local", "localdomain", "internal", "home.arpa"]
        .iter()
        .any(|own| host == *own || host.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Rules = Rules { allow_private_addresses: false, allow_http: false };

    #[test]
    fn what_must_not_be_asked_for_is_refused_in_every_form() {
        let refused = [
            "not a url",
            "//example.org/in",
            "https://",
            "ftp://example.org/",
            "file:///etc/passwd",
            "gopher://example.org/",
            "javascript:alert(1)",
            "http://example.org/",
            "https://user@example.org/",
            "https://user:password@example.org/",
            "https://:password@example.org/",
            "https://example.org@127.0.0.1/",
            "https://example.org/#fragment",
            "https://example.org:22/",
            "https://example.org:25/",
            "https://example.org:6379/",
            "https://example.org:0/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://printer.local/",
            "https://metadata.google.internal/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://127.0.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://127.0.0.1./",
            "https://%31%32%37.0.0.1/",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "https://0/",
            "https://10.1.2.3:8443/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
        ];
        for url in refused {
            assert!(STRICT.check(url).is_err(), "{url}");
        }
        assert!(STRICT.check(&format!("https://example.org/{}", "a".repeat(LENGTH_MAX))).is_err());
    }

    #[test]
    fn public_urls_are_taken_and_private_ones_where_they_are_allowed() {
        for url in ["https://example.org/in?a=b", "https://example.org:8443/", "https://1.1.1.1/", "https://[2606:4700::1111]/"] {
            assert!(STRICT.check(url).is_ok(), "{url}");
        }
        assert!(Rules { allow_http: true, ..STRICT }.check("http://example.org/").is_ok());
        assert!(Rules { allow_http: true, ..STRICT }.check("http://127.0.0.1/").is_err());
        let lax = Rules { allow_private_addresses: true, allow_http: false };
        for url in ["http://127.0.0.1:8000/in", "http://localhost:1234/", "https://[::1]:443/", "http://10.0.0.1/"] {
            assert!(lax.check(url).is_ok(), "{url}");
        }
        assert!(lax.check("https://user@127.0.0.1/").is_err() && lax.check("http://127.0.0.1:22/").is_err());
    }

    #[test]
    fn no_message_shows_a_password() {
        let error = STRICT.check("https://user:hunter2@example.org/").expect_err("refused");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
