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
mod invalid;
mod names;
mod ports;

#[cfg(test)]
mod tests;

pub use invalid::{Invalid, Violation};
pub use names::valid_name;

use crate::domain::{PortRange, Scheduler};
use checks::Findings;

/// Whether the scheduler may be created, or be the result of a patch.
///
/// # Errors
/// All that is wrong, in the order of the fields.
pub fn validate_new(scheduler: &Scheduler) -> Result<(), Invalid> {
    validate(scheduler, scheduler.port_range)
}

/// Whether the scheduler may be a new version by POST. The port range may be absent
/// only when every port has a range of its own (D6); otherwise its absence is reported as
/// an empty range, as in the contract (2.3).
///
/// # Errors
/// All that is wrong, in the order of the fields.
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
