//! Whether a scheduler is valid (contract 2.5). Violations are collected in a list, which is then worded as the
//! endpoint's answer.
//!
//! The form of the request is checked by the codec, and conflicts with stored data elsewhere. The version is not
//! checked because clients do not set it. Quantities, port numbers and addresses are accepted as in the contract; the
//! runtime rejects invalid ones.

mod autoscaling;
mod checks;
mod containers;
mod forwarders;
mod invalid;
mod names;
mod ports;

#[cfg(test)]
mod tests;

pub use invalid::{Invalid, Violation};
pub use names::valid_name;

use crate::domain::{PortRange, Scheduler};
use checks::Findings;

/// Validates a scheduler that is to be created, or the result of a patch.
///
/// # Errors
/// All violations, in the order of the fields.
pub fn validate_new(scheduler: &Scheduler) -> Result<(), Invalid> {
    validate(scheduler, scheduler.port_range)
}

/// Validates a new version sent by POST. The port range may be absent only if every port has a range of its own (D6);
/// otherwise its absence is reported as an empty range, as in the contract (2.3).
///
/// # Errors
/// All violations, in the order of the fields.
pub fn validate_new_version(scheduler: &Scheduler) -> Result<(), Invalid> {
    let port_range = match scheduler.port_range {
        None if !ports::only_host_port_ranges(&scheduler.spec) => Some(PortRange::default()),
        range => range,
    };
    validate(scheduler, port_range)
}

/// Checks in the order of the scheduler's fields in the contract's document.
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
    forwarders::check(scheduler.forwarders(), &mut findings);
    autoscaling::check_match_allocation(scheduler, &mut findings);
    findings.into_result()?;
    ports::check_configuration(port_range, &scheduler.spec).map_err(Invalid::PortConfiguration)
}
