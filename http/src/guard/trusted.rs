//! Trusted hosts and origins, as operators configure them.

use std::fmt;
use std::str::FromStr;

use super::authority::{Authority, Host, Origin};

/// A host name under which clients may call the servers (`api.allowedHosts`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHost(String);

/// An origin whose pages may call the servers (`api.allowedOrigins`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedOrigin(String);

/// Why a text is not a valid host or origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error(
        "{0:?} is no host name: write it without scheme, port and wildcard, such as maestro.example (names with other letters in their xn-- form)"
    )]
    Host(String),
    #[error(
        "{0:?} is no origin: write scheme, host and, unless it is the scheme's default, port, without a path or wildcard, such as https://tools.example:8443"
    )]
    Origin(String),
}

impl TrustedHost {
    pub(super) fn is(&self, host: &Host<'_>) -> bool {
        Authority::parse(&self.0).is_some_and(|known| known.host == *host)
    }

    /// The host of a URL; `None` if it has no valid host name.
    pub fn of_url(url: &str) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = Authority::parse(&rest[..end])?;
        match authority.host {
            Host::Name(name) => Some(Self(name.to_ascii_lowercase())),
            Host::Ip(_) => None,
        }
    }
}

impl TrustedOrigin {
    pub(super) fn is(&self, origin: &Origin<'_>) -> bool {
        Origin::parse(&self.0).is_some_and(|known| known.is(origin))
    }
}

impl FromStr for TrustedHost {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        match Authority::parse(text) {
            Some(Authority { port: None, .. }) if !text.ends_with(':') => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(TrustError::Host(text.to_owned())),
        }
    }
}

impl FromStr for TrustedOrigin {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        match Origin::parse(text) {
            Some(_) => Ok(Self(text.to_ascii_lowercase())),
            None => Err(TrustError::Origin(text.to_owned())),
        }
    }
}

impl fmt::Display for TrustedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TrustedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_never_be_compared_equal_is_refused() {
        for text in ["maestro.example", "MAESTRO", "10.0.0.1", "[::1]", "a.b."] {
            assert!(text.parse::<TrustedHost>().is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "*.example",
            "maestro:8080",
            "maestro:",
            "http://m",
            "bücher",
        ] {
            assert!(text.parse::<TrustedHost>().is_err(), "{text}");
        }
        for text in ["https://tools.example", "http://10.0.0.1:3000"] {
            assert!(text.parse::<TrustedOrigin>().is_ok(), "{text}");
        }
        for text in ["null", "*", "tools.example", "https://tools.example/"] {
            assert!(text.parse::<TrustedOrigin>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_host_of_a_url_is_its_name() {
        for (url, name) in [
            (
                "http://host.docker.internal:8070",
                Some("host.docker.internal"),
            ),
            ("http://Rooms/base?x", Some("rooms")),
            ("http://127.0.0.1:8070", None),
            ("rooms:8070", None),
        ] {
            let found = TrustedHost::of_url(url).map(|host| host.to_string());
            assert_eq!(found.as_deref(), name, "{url}");
        }
    }
}
