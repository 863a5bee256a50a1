//! The answer of a check.

use super::super::failure;
use serde::Serialize;

/// What a check concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Rooms run, but something is missing or cannot be told.
    Warn,
    /// Rooms cannot run.
    Error,
}

/// The answer of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, such as `right` or `clock`.
    pub check: &'static str,
    /// What follows from it.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(rename = "do")]
    pub remedy: Option<String>,
}

impl Check {
    /// Nothing is to be done.
    pub fn ok(check: &'static str, found: String) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found,
            remedy: None,
        }
    }

    /// Rooms run.
    pub fn warn(check: &'static str, found: String, remedy: &str) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found,
            remedy: Some(remedy.to_owned()),
        }
    }

    /// Rooms cannot run.
    pub fn error(check: &'static str, found: String, remedy: &str) -> Self {
        Self {
            verdict: Verdict::Error,
            ..Self::warn(check, found, remedy)
        }
    }

    /// It could not be looked at, for a reason that another check names, or that is not to be foreseen.
    pub fn unknown(check: &'static str, what: &str, error: &kube::Error) -> Self {
        let why = match error {
            kube::Error::Api(status) => status.message.clone(),
            other => failure::chain(other),
        };
        let remedy = "see the checks of rights; look again when they are granted";
        Self::warn(check, format!("{what}: {why}"), remedy)
    }
}
