//! Who is called, and from where: the values of `Host` and `Origin`, taken apart strictly. What a browser would not
//! write is nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A host as URLs name it.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    Ip(IpAddr),
    /// Without the dot that may end it.
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
    /// Never the name of another site: browsers look `localhost` up on this machine only, and an address is what the
    /// client itself has connected to.
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
    /// None: the default of its scheme.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// None: it is none, or has a user, a path, a name with strange characters, or a port that there is not.
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
            // `host:` is in the grammar, and means the same as `host`.
            None | Some("") => None,
            Some(port) => Some(number(port)?),
        };
        Some(Self { host, port })
    }
}

fn number(port: &str) -> Option<u16> {
    // The parser takes a sign.
    port.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok())?
}

/// An address may name the interface behind a `%` (RFC 6874).
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
    /// None also for `null`: a page that says nothing about where it is from.
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

    /// Whether its page came from what is called here. The scheme makes no difference: a proxy may speak TLS for us. So
    /// it is the origin's own default that a port is compared with which the call leaves out.
    pub fn is_at(&self, called: &Authority<'_>) -> bool {
        let port = self.port();
        port.is_some()
            && port == called.port.or(self.default_port())
            && self.authority.host == called.host
    }

    /// Whether both are the same origin to a browser.
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
            // Forms of addresses that browsers write out before they send them.
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
            // Their ports are not known.
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
