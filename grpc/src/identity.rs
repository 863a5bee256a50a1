//! How a node proves to another that it belongs to the same cluster: by a secret that all of them share.

use std::fmt;

use subtle::ConstantTimeEq;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

/// The header that carries the secret.
pub(crate) const NODE_SECRET: &str = "maestro-node-secret";

/// The secret that the nodes of a cluster share. It is never shown, neither in logs nor in the tables of headers that
/// HTTP/2 keeps.
#[derive(Clone)]
pub struct NodeSecret(MetadataValue<Ascii>);

impl NodeSecret {
    /// Minimum length of a secret in bytes.
    pub const LENGTH_MIN: usize = 16;
    /// Maximum length: it is sent with every call.
    pub const LENGTH_MAX: usize = 512;

    /// `None` if it is too short or too long, or no text that a header can carry.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&text.len());
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut value = MetadataValue::try_from(text).ok()?;
        value.set_sensitive(true);
        (fits && printable).then_some(Self(value))
    }

    /// Tells secrets apart without telling them. `salt` differs for each cluster.
    pub fn fingerprint(&self, salt: &Uuid) -> Uuid {
        Uuid::new_v5(salt, self.0.as_encoded_bytes())
    }

    pub(crate) fn header(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }

    /// Whether a call carries it. The time that this takes says nothing about how much of a wrong one is right.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(NODE_SECRET).iter();
        match (given.next(), given.next()) {
            (Some(given), None) => given.as_bytes().ct_eq(self.0.as_encoded_bytes()).into(),
            _ => false,
        }
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_accepted() {
        let text = "correct-horse-battery";
        let secret = NodeSecret::new(text).unwrap();
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(NODE_SECRET, value.parse().unwrap());
            }
            headers
        };
        assert!(secret.is_in(&headers(&[text])));
        for wrong in [
            &[][..],
            &[""],
            &["correct-horse-batterx"],
            &["correct-horse"],
            &[text, text],
        ] {
            assert!(!secret.is_in(&headers(wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_shown() {
        for wrong in [
            "",
            "short",
            "with a space in it",
            "line\nline\nline\nline",
            "é".repeat(20).as_str(),
        ] {
            assert!(NodeSecret::new(wrong).is_none(), "{wrong}");
        }
        let secret = NodeSecret::new("correct-horse-battery").unwrap();
        assert!(!format!("{secret:?} {:?}", secret.header()).contains("horse"));
    }
}
