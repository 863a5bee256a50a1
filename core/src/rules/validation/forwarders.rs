//! Where events are forwarded to (contract 2.5).

use super::checks::{Findings, required, rule};
use crate::domain::Forwarder;

pub fn check(forwarders: &[Forwarder], findings: &mut Findings) {
    for (index, forwarder) in forwarders.iter().enumerate() {
        if findings.is_full() {
            break;
        }
        let path = format!("Scheduler.Forwarders[{index}]");
        let kind = forwarder.forward_type.as_str();
        findings.field(&path, "Name", [required(!forwarder.name.is_empty())]);
        findings.field(
            &path,
            "ForwardType",
            [
                required(!kind.is_empty()),
                rule(
                    kind == "gRPC",
                    "forwarder_type",
                    "must be one of the following options: gRPC",
                ),
            ],
        );
        findings.field(&path, "Address", [required(!forwarder.address.is_empty())]);
        // Absent options have defaults; options without a timeout do not (contract 15.18).
        if let Some(options) = &forwarder.options {
            let path = format!("{path}.Options");
            findings.field(&path, "Timeout", [required(options.timeout != 0)]);
        }
    }
}
