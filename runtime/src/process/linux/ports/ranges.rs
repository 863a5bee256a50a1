//! The ranges from which a room's ports are drawn.

use super::proof::Protocol;
use maestro_core::domain::{PortRange, Scheduler};
use std::io;

/// The range that one port of a room comes from.
pub struct Wanted {
    pub start: u16,
    pub end: u16,
    pub protocol: Protocol,
}

impl Wanted {
    pub fn len(&self) -> u32 {
        u32::from(self.end - self.start) + 1
    }
}

/// One range per port of the spec.
///
/// # Errors
/// If a port has no range, or none that can be used.
pub fn wanted(scheduler: &Scheduler, fallback: Option<PortRange>) -> Result<Vec<Wanted>, String> {
    let ports = scheduler.spec.containers.iter().flat_map(|c| &c.ports);
    ports
        .map(|port| {
            let range = scheduler.port_range.or(port.host_port_range).or(fallback);
            let range = range.ok_or_else(|| {
                format!(
                    "port {:?} has no range: set portRange or its hostPortRange",
                    port.name
                )
            })?;
            let number = |value: i32| u16::try_from(value).ok().filter(|number| *number > 0);
            let (Some(start), Some(end)) = (number(range.start), number(range.end)) else {
                return Err(format!(
                    "port range {}-{} is not within 1-65535",
                    range.start, range.end
                ));
            };
            if start > end {
                return Err(format!("port range {start}-{end} ends before it starts"));
            }
            let protocol = match port.protocol.as_str() {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                other => {
                    return Err(format!(
                        "port {:?}: protocol {other:?} is not supported, use tcp or udp",
                        port.name
                    ));
                }
            };
            Ok(Wanted {
                start,
                end,
                protocol,
            })
        })
        .collect()
}

/// The error for an exhausted range, with advice.
pub fn exhausted(scheduler: &Scheduler, range: &Wanted, skipped: &[(u16, io::Error)]) -> String {
    let skipped: Vec<_> = skipped
        .iter()
        .filter(|(port, _)| (range.start..=range.end).contains(port))
        .collect();
    let use_ = match skipped.first() {
        None => "all in use".to_owned(),
        Some((port, error)) => format!(
            "all in use or not to be bound ({} of them skipped, {port} for example: {error})",
            skipped.len()
        ),
    };
    format!(
        "port range {}-{} of scheduler {} has {} ports, {use_}; widen portRange or lower the number of rooms",
        range.start,
        range.end,
        scheduler.name,
        range.len()
    )
}
