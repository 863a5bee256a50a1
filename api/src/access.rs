//! Who may give the orders of the K8s manager (`k8sManager.token`): they end matches, and show or replace secrets.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::{ApiResult, Code, Status};

/// The token that callers send as `authorization: Bearer …`. It is never shown.
#[derive(Clone)]
pub struct ManagerToken(Arc<str>);

impl ManagerToken {
    /// Minimum length of a token in bytes.
    pub const LENGTH_MIN: usize = 16;
    /// Maximum length of a token in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// `None` if it is too short or too long, or no text that a header can carry.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&text.len());
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        (fits && printable).then(|| Self(text.into()))
    }
}

impl fmt::Debug for ManagerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManagerToken(***)")
    }
}

/// Who may give such orders, over every transport.
#[derive(Clone, Debug, Default)]
pub enum ManagerAccess {
    /// Callers on this machine.
    #[default]
    ThisMachine,
    /// Callers that send the token, wherever they are.
    Token(ManagerToken),
}

impl ManagerAccess {
    /// Checks a call by the values of its `authorization` headers and the address that it comes from. The time that
    /// this takes says nothing about how much of a wrong token is right.
    ///
    /// # Errors
    /// What the caller, or whoever runs this process, has to do.
    pub fn check<'a>(
        &self,
        mut authorization: impl Iterator<Item = &'a [u8]>,
        peer: Option<IpAddr>,
    ) -> ApiResult<()> {
        match self {
            Self::ThisMachine => {
                let near = peer.is_some_and(|address| address.to_canonical().is_loopback());
                near.then_some(()).ok_or_else(|| {
                    let text = "only callers on its machine may make this call while k8sManager.token is not set: \
                        set it here, and send it as `authorization: Bearer TOKEN`";
                    Status::new(Code::PermissionDenied, text)
                })
            }
            Self::Token(ManagerToken(token)) => {
                let given = (authorization.next(), authorization.next());
                let is_right = match given {
                    (Some(given), None) => {
                        bearer(given).is_some_and(|given| given.ct_eq(token.as_bytes()).into())
                    }
                    _ => false,
                };
                is_right.then_some(()).ok_or_else(|| {
                    let text = "this call needs the token of k8sManager.token: send it as `authorization: Bearer TOKEN`";
                    Status::new(Code::Unauthenticated, text)
                })
            }
        }
    }
}

/// The token of a header; the name of the scheme is read in any case (RFC 9110, 11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "correct-horse-battery";

    fn checked(access: &ManagerAccess, headers: &[&str], peer: &str) -> Result<(), Code> {
        let headers = headers.iter().map(|header| header.as_bytes());
        let peer = peer.parse().ok();
        access.check(headers, peer).map_err(|status| status.code)
    }

    #[test]
    fn without_a_token_only_this_machine_may_call() {
        let access = ManagerAccess::default();
        for near in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(checked(&access, &[], near), Ok(()), "{near}");
        }
        for far in ["10.0.0.1", "2001:db8::1", "nowhere"] {
            let told = checked(&access, &[&format!("Bearer {TEXT}")], far);
            assert_eq!(told, Err(Code::PermissionDenied), "{far}");
        }
    }

    #[test]
    fn a_token_is_needed_from_everywhere_once_it_is_set() {
        let access = ManagerAccess::Token(ManagerToken::new(TEXT).unwrap());
        let right = format!("Bearer {TEXT}");
        for peer in ["127.0.0.1", "10.0.0.1"] {
            assert_eq!(checked(&access, &[&right], peer), Ok(()));
            assert_eq!(
                checked(&access, &[&format!("bEARER  {TEXT}")], peer),
                Ok(())
            );
            for wrong in [
                &[][..],
                &[""],
                &[TEXT],
                &["Bearer "],
                &["Bearer correct-horse-batterx"],
                &["Bearer correct-horse"],
                &["Basic correct-horse-battery"],
                &[right.as_str(), right.as_str()],
            ] {
                let told = checked(&access, wrong, peer);
                assert_eq!(told, Err(Code::Unauthenticated), "{wrong:?}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_none_is_shown() {
        for wrong in [
            "",
            "short",
            "with a space in its middle",
            "line\nline\nline\nline",
        ] {
            assert!(ManagerToken::new(wrong).is_none(), "{wrong}");
        }
        let access = ManagerAccess::Token(ManagerToken::new(TEXT).unwrap());
        assert!(!format!("{access:?}").contains("horse"));
    }
}
