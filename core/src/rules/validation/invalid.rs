//! Why a scheduler is invalid, in the words of the endpoint's answer (contract 2.4, 2.5).

use std::{borrow::Cow, fmt};

/// A field that breaks a rule; if it breaks several, the first one (contract 2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path in Go field names: `Scheduler.Spec.Containers[0].Name`.
    pub path: String,
    /// The last name of the path.
    pub field: &'static str,
    /// The rule's name in the contract's patch messages.
    pub tag: &'static str,
    /// What the rule demands, for example `must be 1 or greater`.
    pub reason: Cow<'static, str>,
}

/// Why a scheduler was rejected; [`fmt::Display`] is [`Invalid::to_message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// In the order of the scheduler's fields, never empty.
    Fields(Vec<Violation>),
    /// Host ports are configured in both ways, in neither, or only partly.
    PortConfiguration(&'static str),
}

/// Violations below these paths are reported alone, without the prefix `Scheduler`.
const AUTOSCALING_ROOT: &str = "Scheduler.";
const AUTOSCALING_PATH: &str = "Scheduler.Autoscaling.";

impl Invalid {
    /// The answer of create and new version. Violations of the autoscaling hide all others (contract 2.5).
    pub fn to_message(&self) -> String {
        let violations = match self {
            Self::PortConfiguration(sentence) => return (*sentence).to_owned(),
            Self::Fields(violations) => violations,
        };
        let autoscaling = |v: &&Violation| v.path.starts_with(AUTOSCALING_PATH);
        let alone = violations.iter().any(|v| autoscaling(&v));
        let mut message = "Validation Error:".to_owned();
        for violation in violations.iter().filter(|v| !alone || autoscaling(v)) {
            let path = match alone {
                true => &violation.path[AUTOSCALING_ROOT.len()..],
                false => &violation.path,
            };
            message += &format!("\n{path}: {} {}", violation.field, violation.reason);
        }
        message
    }

    /// The answer of PATCH: all violations, with the tags of their rules (contract 2.4).
    pub fn to_patch_message(&self) -> String {
        let lines = match self {
            Self::PortConfiguration(sentence) => (*sentence).to_owned(),
            Self::Fields(violations) => {
                let lines: Vec<String> = violations.iter().map(Violation::to_patch_line).collect();
                lines.join("\n")
            }
        };
        format!("invalid patched scheduler: {lines}")
    }
}

impl Violation {
    fn to_patch_line(&self) -> String {
        let Self {
            path, field, tag, ..
        } = self;
        format!("Key: '{path}' Error:Field validation for '{field}' failed on the '{tag}' tag")
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_message())
    }
}

impl std::error::Error for Invalid {}
