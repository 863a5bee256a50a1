//! Ports of containers, and the ranges from which host ports are drawn (contract 2.5).

use super::checks::{Findings, chars_at_most, required, rule};
use crate::domain::{ContainerPort, PortRange, Spec};

const PORT_NAME_CHARS_MAX: usize = 15;

pub fn check_port(path: &str, port: &ContainerPort, findings: &mut Findings) {
    let protocol = port.protocol.as_str();
    findings.field(
        path,
        "Name",
        [
            required(!port.name.is_empty()),
            chars_at_most(&port.name, PORT_NAME_CHARS_MAX),
        ],
    );
    findings.field(
        path,
        "Protocol",
        [
            required(!protocol.is_empty()),
            rule(
                matches!(protocol, "tcp" | "udp" | "sctp"),
                "ports_protocol",
                "must be one of the following options: tcp, udp, sctp",
            ),
        ],
    );
    findings.field(path, "Port", [required(port.port != 0)]);
    if let Some(range) = port.host_port_range {
        check_range(&format!("{path}.HostPortRange"), range, findings);
    }
}

/// An empty range is reported for both of its ends (contract 15.18).
pub fn check_range(path: &str, range: PortRange, findings: &mut Findings) {
    let ordered = range.start < range.end;
    findings.field(
        path,
        "Start",
        [rule(ordered, "ltfield", "must be less than End")],
    );
    findings.field(
        path,
        "End",
        [rule(ordered, "gtfield", "must be greater than Start")],
    );
}

/// Whether there are ports, and each of them has a range of its own.
pub fn only_host_port_ranges(spec: &Spec) -> bool {
    let ranges = |spec| ports(spec).map(|port| port.host_port_range.is_some());
    ranges(spec).any(|has| has) && ranges(spec).all(|has| has)
}

/// Either the scheduler has a range, or each of its ports has one. If there are ports, missing ranges are theirs
/// (contract 2.5, 15).
pub fn check_configuration(range: Option<PortRange>, spec: &Spec) -> Result<(), &'static str> {
    let any = ports(spec).any(|port| port.host_port_range.is_some());
    let none_to_have_one = ports(spec).next().is_none();
    match (range.is_some(), any) {
        (true, true) => Err(
            "scheduler.PortRange and scheduler.Spec.Container.Ports.HostPortRange are mutually exclusive configurations; please choose only one",
        ),
        (false, _) if none_to_have_one => Err(
            "must configure scheduler.PortRange or scheduler.Spec.Container.Ports.HostPortRange",
        ),
        (false, _) if !only_host_port_ranges(spec) => {
            Err("must configure HostPortRange for all scheduler.Spec.Container.Ports")
        }
        _ => Ok(()),
    }
}

fn ports(spec: &Spec) -> impl Iterator<Item = &ContainerPort> {
    spec.containers.iter().flat_map(|c| &c.ports)
}
