//! Settings of simulated rooms.

use maestro_core::domain::PortRange;
use std::{path::PathBuf, time::Duration};

/// The behavior of simulated rooms.
#[derive(Clone, Debug)]
pub struct SimulatedSettings {
    /// The address that players are given.
    pub host: String,
    /// How long a room is pending before it is ready.
    pub startup: Duration,
    /// For ports without a range of their own (`adapters.portAllocator.random.range`).
    pub default_ports: Option<PortRange>,
    /// Rooms that this process may have, for all schedulers together (`limits.rooms.perNode`).
    pub rooms_max: usize,
    /// A file to which the id of each created room is appended, one a line.
    pub room_list: Option<PathBuf>,
}

impl Default for SimulatedSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            startup: Duration::ZERO,
            default_ports: None,
            rooms_max: usize::MAX,
            room_list: None,
        }
    }
}
