//! Whether a scheduler may exist (contract 2.5). The checks are collected as a list of
//! violations, which is then worded as the endpoint's answer.
//!
//! Never here: checks of the request's form (the codec's) and of what is stored already.
//! The version is not checked: it is never the client's word. Quantities, port numbers
//! and addresses pass as they do in the contract; their runtime refuses them.

mod autoscaling;
mod checks;
mod containers;
mod forwarders;
mod names;
mod ports;

#[cfg(test)]
mod tests;

pub use names::valid_name;

use crate::domain::{PortRange, Scheduler};
use checks::Findings;
use std::{borrow::Cow, fmt};

/// One field that breaks a rule; of several broken rules, the first (contract 2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, with Go field names: `Scheduler.Spec.Containers[0].Name`.
    pub path: String,
    /// The last name of the path.
    pub field: &'static str,
    /// The rule's name in the contract's patch messages.
    pub tag: &'static str,
    /// What the field has to be: `must be 1 or greater`.
    pub reason: Cow<'static, str>,
}

/// Why a scheduler was refused; [`fmt::Display`] is [`Invalid::to_message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// In the order of the scheduler's fields, never empty.
    Fields(Vec<Violation>),
    /// Host ports are configured in both ways, in none, or in part.
    PortConfiguration(&'static str),
}

/// Paths of what is reported alone, and without the scheduler before it.
const AUTOSCALING_ROOT: &str = "Scheduler.";
const AUTOSCALING_PATH: &str = "Scheduler.Autoscaling.";

impl Invalid {
    /// The answer of create and new version. Problems of the autoscaling hide all
    /// others (contract 2.5).
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

    /// The answer of PATCH: rules by their tags, all of them (contract 2.4).
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

/// Whether the scheduler may be created, or be the result of a patch.
pub fn validate_new(scheduler: &Scheduler) -> Result<(), Invalid> {
    validate(scheduler, scheduler.port_range)
}

/// Whether the scheduler may be a new version by POST. The port range may be absent
/// only when every port has a range of its own (D6); otherwise its absence is reported as
/// an empty range, as in the contract (2.3).
pub fn validate_new_version(scheduler: &Scheduler) -> Result<(), Invalid> {
    let port_range = match scheduler.port_range {
        None if !ports::only_host_port_ranges(&scheduler.spec) => Some(PortRange::default()),
        range => range,
    };
    validate(scheduler, port_range)
}

/// The order of the checks is that of the scheduler's fields in the contract's document.
fn validate(scheduler: &Scheduler, port_range: Option<PortRange>) -> Result<(), Invalid> {
    let mut findings = Findings::default();
    names::check(scheduler, &mut findings);
    containers::check_spec(&scheduler.spec, &mut findings);
    if let Some(autoscaling) = &scheduler.autoscaling {
        autoscaling::check(autoscaling, &mut findings);
    }
    if let Some(range) = port_range {
        ports::check_range("Scheduler.PortRange", range, &mut findings);
    }
    autoscaling::check_size(scheduler, &mut findings);
    forwarders::check(&scheduler.forwarders, &mut findings);
    autoscaling::check_match_allocation(scheduler, &mut findings);
    findings.into_result()?;
    ports::check_configuration(port_range, &scheduler.spec).map_err(Invalid::PortConfiguration)
}
