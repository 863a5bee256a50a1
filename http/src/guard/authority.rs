//! Strict parsers for the values of `Host` and `Origin`. What a browser would not write is rejected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The host part of a URL.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    Ip(IpAddr),
    /// Without the trailing dot that it may have.
    Name(&'a str),
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
    }
}

impl Host<'_> {
    /// Whether the host cannot be the name of another site: browsers resolve `localhost` to this machine only, and an
    /// address is what the client itself has connected to.
    pub fn is_local(&self) -> bool {
        const LOCALHOST: &str = "localhost";
        match self {
            Self::Ip(_) => true,
            Self::Name(name) => match name.len().checked_sub(LOCALHOST.len()) {
                Some(0) => name.eq_ignore_ascii_case(LOCALHOST),
                Some(at) => {
                    name.as_bytes()[at - 1] == b'.'
                        && name.as_bytes()[at..].eq_ignore_ascii_case(LOCALHOST.as_bytes())
                }
                None => false,
            },
        }
    }
}

/// `host`, or `host:port`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Authority<'a> {
    pub host: Host<'a>,
    /// `None` stands for the default port of the scheme.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// `None` if the text is not a valid authority: also if it has a user, a path, unusual characters in the name, or
    /// an invalid port.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inside, after) = rest.split_once(']')?;
                let port = match after {
                    "" => None,
                    after => Some(after.strip_prefix(':')?),
                };
                (v6(inside)?, port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (v4_or_name(host)?, Some(port)),
                None => (v4_or_name(text)?, None),
            },
        };
        let port = match port {
            // The grammar allows `host:`, which means the same as `host`.
            None | Some("") => None,
            Some(port) => Some(number(port)?),
        };
        Some(Self { host, port })
    }
}

fn number(port: &str) -> Option<u16> {
    // Rust's parser would accept a sign.
    port.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok())?
}

/// An address may be followed by `%` and a zone (RFC 6874).
fn v6(inside: &str) -> Option<Host<'_>> {
    let (address, zone) = match inside.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (inside, None),
    };
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    if zone.is_some_and(|zone| zone.is_empty() || !zone.bytes().all(unreserved)) {
        return None;
    }
    let address = Ipv6Addr::from_str(address).ok()?;
    Some(Host::Ip(IpAddr::V6(address)))
}

fn v4_or_name(text: &str) -> Option<Host<'_>> {
    if let Ok(address) = Ipv4Addr::from_str(text) {
        return Some(Host::Ip(IpAddr::V4(address)));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let label = |label: &str| !label.is_empty() && label.bytes().all(plain);
    name.split('.').all(label).then_some(Host::Name(name))
}

/// `scheme://authority`.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    scheme: &'a str,
    authority: Authority<'a>,
}

impl<'a> Origin<'a> {
    /// `None` also for `null`, which stands for a page that hides its origin.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(of_scheme) {
            return None;
        }
        let authority = Authority::parse(authority)?;
        Some(Self { scheme, authority })
    }

    fn default_port(&self) -> Option<u16> {
        let is = |scheme| self.scheme.eq_ignore_ascii_case(scheme);
        match () {
            () if is("http") => Some(80),
            () if is("https") => Some(443),
            () => None,
        }
    }

    fn port(&self) -> Option<u16> {
        self.authority.port.or(self.default_port())
    }

    /// Whether the page comes from the authority that the request addresses. The scheme is ignored because a proxy may
    /// terminate TLS for us; a missing port therefore stands for the default of the origin's scheme.
    pub fn is_at(&self, called: &Authority<'_>) -> bool {
        let port = self.port();
        port.is_some()
            && port == called.port.or(self.default_port())
            && self.authority.host == called.host
    }

    /// Whether a browser considers both the same origin.
    pub fn is(&self, other: &Origin<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.port() == other.port()
            && self.authority.host == other.authority.host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_hosts_with_or_without_a_port() {
        for (text, local, port) in [
            ("127.0.0.1", true, None),
            ("127.0.0.1:8080", true, Some(8080)),
            ("127.0.0.1:", true, None),
            ("10.1.2.3:080", true, Some(80)),
            ("[::1]", true, None),
            ("[::1]:8080", true, Some(8080)),
            ("[FE80::1%25eth0]:1", true, Some(1)),
            ("[fe80::1%eth0]", true, None),
            ("[::ffff:127.0.0.1]", true, None),
            ("localhost", true, None),
            ("LocalHost:65535", true, Some(65535)),
            ("localhost.", true, None),
            ("a.b.localhost:1", true, Some(1)),
            ("evil.example", false, None),
            ("evil.example.:8080", false, Some(8080)),
            ("notlocalhost", false, None),
            ("localhost.evil.example", false, None),
            ("xn--bcher-kva.example", false, None),
            ("under_score", false, None),
            // Notations of addresses that browsers normalize before they send them.
            ("127.1", false, None),
            ("2130706433", false, None),
            ("0x7f.0.0.1", false, None),
            ("0177.0.0.1", false, None),
        ] {
            let found = Authority::parse(text).expect(text);
            assert_eq!((found.host.is_local(), found.port), (local, port), "{text}");
        }
    }

    #[test]
    fn what_is_no_authority_is_nobody() {
        for text in [
            "",
            ".",
            ":8080",
            "..",
            "localhost..",
            ".localhost",
            "a..localhost",
            "user@localhost",
            "localhost@evil.example",
            "user:secret@localhost:8080",
            "localhost:80:80",
            "localhost:+80",
            "localhost:65536",
            "localhost:http",
            "localhost/",
            "localhost, evil.example",
            "local host",
            "bücher.example",
            "*",
            "::1",
            "[::1",
            "[::1]8080",
            "[::1]:x",
            "[::1]]",
            "[]",
            "[localhost]",
            "[127.0.0.1]",
            "[::1%]",
            "[::1%25a/b]",
            "%6cocalhost",
        ] {
            assert!(Authority::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn an_origin_is_at_what_it_came_from_by_host_and_port() {
        for (origin, called, same) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://127.0.0.1:8080", "127.0.0.1:8081", false),
            ("http://127.0.0.1:8080", "localhost:8080", false),
            ("http://LOCALHOST:8080", "localhost:8080", true),
            ("http://localhost", "localhost", true),
            ("http://localhost", "localhost:80", true),
            ("http://localhost:80", "localhost", true),
            ("https://localhost:80", "localhost", false),
            ("https://maestro.example", "maestro.example", true),
            ("https://maestro.example", "maestro.example:443", true),
            ("https://maestro.example", "maestro.example:80", false),
            ("http://[::1]:8080", "[0:0::1]:8080", true),
            ("http://[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", false),
            ("http://localhost.:8080", "localhost:8080", true),
            // The default port of such a scheme is unknown.
            ("app://localhost", "localhost", false),
            ("app://localhost:8080", "localhost:8080", true),
        ] {
            let (o, c) = (Origin::parse(origin), Authority::parse(called));
            let (o, c) = (o.expect(origin), c.expect(called));
            assert_eq!(o.is_at(&c), same, "{origin} at {called}");
        }
    }

    #[test]
    fn what_is_no_origin_is_nobody() {
        for text in [
            "",
            "null",
            "localhost:8080",
            "http:/localhost",
            "http://",
            "://localhost",
            "http://localhost/",
            "http://localhost:8080/path",
            "http://user@localhost",
            "http://localhost http://localhost",
            "file://",
            "ht tp://localhost",
        ] {
            assert!(Origin::parse(text).is_none(), "{text:?}");
        }
    }
}
