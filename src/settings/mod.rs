//! What an operator may set: defaults, then the file, then `MAESTRO_*` variables, then flags
//! (contract 1.3, 1.4; D24).

mod keys;
mod load;

pub use load::load;

use maestro_actors::ActorSettings;
use maestro_core::settings::CoreSettings;
use maestro_runtime::simulated::SimulatedSettings;
use std::path::PathBuf;
use std::time::Duration;

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub host: String,
    pub port: u16,
}

impl Listen {
    fn local(port: u16) -> Self {
        Self {
            host: "127.0.0.1".into(),
            port,
        }
    }
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }
}

/// Where rooms live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Local processes; what `auto` means in this build.
    Process,
    /// Rooms that exist only on paper, for load tests of Maestro and of a matchmaker.
    Simulated,
}

impl std::fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Process => "process",
            Self::Simulated => "simulated",
        })
    }
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Management API.
    pub api: Listen,
    pub rooms_api: Listen,
    pub internal_api: Listen,
    /// How long open requests may take to end at shutdown.
    pub graceful_shutdown: Duration,
    pub healthcheck_enabled: bool,
    pub metrics_enabled: bool,
    /// `/debug/actors` on the management API; `None`: only when that is bound to loopback.
    pub api_debug: Option<bool>,
    /// Threads of each HTTP server.
    pub http_workers: usize,
    pub data_dir: PathBuf,
    pub runtime: RuntimeKind,
    pub simulated: SimulatedSettings,
    /// Address under which players reach rooms of the process runtime.
    pub room_host: String,
    /// What rooms are told; `None`: the rooms API's own address.
    pub rooms_api_url: Option<String>,
    /// Rooms that this node may have, of all schedulers together.
    pub rooms_per_node: usize,
    pub core: CoreSettings,
    pub actors: ActorSettings,
    /// Keys that were set for a cluster, which this build does not have.
    pub cluster_keys: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api: Listen::local(8080),
            rooms_api: Listen::local(8070),
            internal_api: Listen::local(8081),
            graceful_shutdown: Duration::from_secs(30),
            healthcheck_enabled: true,
            metrics_enabled: true,
            api_debug: None,
            http_workers: std::thread::available_parallelism()
                .map_or(2, usize::from)
                .min(8),
            data_dir: "./maestro-data".into(),
            runtime: RuntimeKind::Process,
            simulated: SimulatedSettings::default(),
            room_host: "127.0.0.1".into(),
            rooms_api_url: None,
            rooms_per_node: 100_000,
            core: CoreSettings::default(),
            actors: ActorSettings::default(),
            cluster_keys: Vec::new(),
        }
    }
}

impl Settings {
    /// Whether `/debug/actors` is served on the management API.
    pub fn serves_debug(&self) -> bool {
        self.api_debug.unwrap_or_else(|| self.api.is_loopback())
    }
}
