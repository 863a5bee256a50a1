//! The settings of an operator: defaults, then the file, then `MAESTRO_*` variables, then flags
//! (contract 1.3, 1.4; D24). A key is declared once, in `keys`.

mod adapters;
mod environment;
mod error;
mod file;
mod form;
mod key;
mod keys;
mod kubernetes;
mod load;
mod manager;
mod nodes;
mod origin;
mod redis;
mod resources;
mod runtimes;
#[cfg(test)]
mod tests;
mod traces;

pub use adapters::{migrates_postgres, runtime_in_use, store_in_use};
pub use error::SettingsErrors;
pub use key::{Effect, Key};
pub use keys::{KEYS, POSTGRES_URL};
pub use kubernetes::KubernetesKeys;
pub use load::{Flags, Loaded, load};
pub use nodes::NodeSettings;
pub use origin::masked;
pub use redis::RedisRoles;
pub use resources::ResourceKeys;
pub use runtimes::RuntimeKeys;
pub use traces::{Collector, TraceSettings};

use maestro_actors::ActorSettings;
use maestro_api::ManagerToken;
use maestro_core::domain::PortRange;
use maestro_core::settings::CoreSettings;
use maestro_grpc::ActorsShownTo;
use maestro_http::{Trusted, TrustedHost};
use maestro_runtime::simulated::SimulatedSettings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is read if none is named; it need not exist (D24).
const DEFAULT_FILE: &str = "config/config.yaml";

/// As the original ships it (contract 1.4).
const REDIS_THERE: &str = "redis://localhost:6379/0";
/// As the original ships it (contract 1.4).
const POSTGRES_THERE: &str = "postgres://maestro:maestro@localhost:5432/maestro?sslmode=disable";

/// Of IPv4 and IPv6, as the original listens (contract 1.2).
const ALL_INTERFACES: &str = "::";

/// `workers.stopTimeoutDuration`, as shipped.
const STOP_WITHIN: Duration = Duration::from_secs(120);

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub host: String,
    pub port: u16,
}

/// The host that stands for this machine alone with the embedded store, and for all interfaces with the cluster store,
/// whose processes are probed and called from other machines.
const AUTO: &str = "auto";

impl Listen {
    fn auto(port: u16) -> Self {
        Self {
            host: AUTO.into(),
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

/// Where state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Embedded, unless an address of Postgres or Redis is set.
    Auto,
    Embedded,
    /// Postgres and Redis.
    Postgres,
}

/// Where rooms live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Local processes, unless Kubernetes is set.
    Auto,
    Process,
    /// Rooms without processes, for load tests of Maestro and of a matchmaker.
    Simulated,
    /// Pods of a cluster.
    Kubernetes,
}

impl std::fmt::Display for StoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Embedded => "embedded",
            Self::Postgres => "postgres",
        })
    }
}

impl std::fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Process => "process",
            Self::Simulated => "simulated",
            Self::Kubernetes => "kubernetes",
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
    /// The same APIs over gRPC (decision D13).
    pub grpc: Listen,
    /// Calls between nodes.
    pub nodes: NodeSettings,
    /// How long open requests on the APIs may take to end at shutdown.
    pub graceful_shutdown: Duration,
    /// The same on the internal server.
    pub internal_shutdown: Duration,
    pub healthcheck_enabled: bool,
    /// Readiness skips the store of schedulers.
    pub skip_store_check: bool,
    pub metrics_enabled: bool,
    pub traces: TraceSettings,
    /// Trusted hosts and origins of the HTTP servers (decision D28).
    pub trusted: Trusted,
    /// `/debug/actors` on the management API, and the actors over gRPC; `None`: only where that is bound to loopback,
    /// and only to this machine.
    pub api_debug: Option<bool>,
    /// Threads of each API's server; `None`: by the number of processors.
    pub http_workers: Option<usize>,
    pub store: StoreKind,
    /// The database of the schedulers. It has a password.
    pub postgres_url: String,
    pub postgres_pool_size: usize,
    pub redis: RedisRoles,
    pub data_dir: PathBuf,
    pub runtime: RuntimeKind,
    pub simulated: SimulatedSettings,
    pub kubernetes: KubernetesKeys,
    /// Address under which players reach rooms of the process runtime.
    pub room_host: String,
    /// The URL for rooms; `None`: the rooms API's own address.
    pub rooms_api_url: Option<String>,
    /// Rooms that this node may have, of all schedulers together.
    pub rooms_per_node: usize,
    /// The range of host ports without a range of their own.
    pub default_ports: PortRange,
    /// Keep-alive of connections to forwarders: idle time and timeout.
    pub keep_alive_time: Duration,
    pub keep_alive_timeout: Duration,
    pub core: CoreSettings,
    pub actors: ActorSettings,
    /// `None`: as [`ActorSettings::default`].
    pub actor_threads: Option<usize>,
    /// How often the metrics reporter reads the stores.
    pub report_every: Duration,
    /// What rooms use, and who knows it.
    pub resources: ResourceKeys,
    /// Runtimes, which are made by themselves.
    pub runtimes: RuntimeKeys,
    /// What callers of the K8s manager's orders have to send; `None`: they are on this machine.
    pub manager_token: Option<ManagerToken>,
    /// Values of keys that have no effect in this build.
    pub unused: BTreeMap<&'static str, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api: Listen::auto(8080),
            rooms_api: Listen::auto(8070),
            internal_api: Listen::auto(8081),
            grpc: Listen::auto(50051),
            nodes: NodeSettings::default(),
            graceful_shutdown: Duration::from_secs(30),
            internal_shutdown: Duration::from_secs(30),
            healthcheck_enabled: true,
            skip_store_check: false,
            metrics_enabled: true,
            traces: TraceSettings::default(),
            trusted: Trusted::default(),
            api_debug: None,
            http_workers: None,
            store: StoreKind::Auto,
            postgres_url: POSTGRES_THERE.into(),
            postgres_pool_size: 20,
            redis: RedisRoles::default(),
            data_dir: "./maestro-data".into(),
            runtime: RuntimeKind::Auto,
            simulated: SimulatedSettings::default(),
            kubernetes: KubernetesKeys::default(),
            room_host: "127.0.0.1".into(),
            rooms_api_url: None,
            rooms_per_node: 100_000,
            default_ports: PortRange {
                start: 60_001,
                end: 60_010,
            },
            keep_alive_time: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(5),
            core: CoreSettings::default(),
            actors: ActorSettings {
                stop_within: STOP_WITHIN,
                ..ActorSettings::default()
            },
            actor_threads: None,
            report_every: Duration::from_secs(10),
            resources: ResourceKeys::default(),
            runtimes: RuntimeKeys::default(),
            manager_token: None,
            unused: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Gives the hosts that are `auto` their address, once the store in use is known.
    pub fn resolve_hosts(&mut self) {
        let host = match self.store {
            StoreKind::Postgres => ALL_INTERFACES,
            _ => "127.0.0.1",
        };
        for listen in [
            &mut self.api,
            &mut self.rooms_api,
            &mut self.internal_api,
            &mut self.grpc,
        ] {
            if listen.host == AUTO {
                listen.host = host.into();
            }
        }
        if self.store == StoreKind::Postgres {
            self.nodes.listen.get_or_insert_with(|| Listen {
                host: ALL_INTERFACES.into(),
                port: 0,
            });
        }
    }

    /// Whether `/debug/actors` is served on the management API.
    pub fn serves_debug(&self) -> bool {
        self.api_debug.unwrap_or_else(|| self.api.is_loopback())
    }

    /// Who sees the actors over gRPC. Without a setting it is whoever reaches the internal server where that is left as
    /// it is: this machine, however public the port is, so that `maestro actors` works on it.
    pub fn actors_shown_over_grpc(&self) -> ActorsShownTo {
        match self.api_debug {
            None => ActorsShownTo::ThisMachine,
            Some(true) => ActorsShownTo::Everybody,
            Some(false) => ActorsShownTo::Nobody,
        }
    }

    /// As [`Self::trusted`], with the name by which rooms call the rooms API.
    pub fn trusted_by_rooms(&self) -> Trusted {
        let mut trusted = self.trusted.clone();
        let told = self.rooms_api_url.as_deref();
        if let Some(host) = told.and_then(TrustedHost::of_url) {
            trusted.own_names.push(host);
        }
        trusted
    }

    /// The actors' settings, with their number of threads.
    pub fn actors_in_use(&self) -> ActorSettings {
        let threads = self.actor_threads.unwrap_or(self.actors.threads);
        ActorSettings {
            threads,
            ..self.actors
        }
    }

    /// Threads of each API's server.
    pub fn http_threads(&self) -> usize {
        self.http_workers.unwrap_or_else(|| {
            std::thread::available_parallelism()
                .map_or(2, usize::from)
                .min(8)
        })
    }
}

/// The settings of a command that takes `--config-path` and perhaps other flags: from the named
/// file (or the default one, if it exists) and this process' environment.
///
/// # Errors
/// See [`load()`].
pub fn load_here(named: Option<&Path>, flags: Flags<'_>) -> Result<Loaded, SettingsErrors> {
    let usual = Path::new(DEFAULT_FILE);
    let file = named.or_else(|| usual.exists().then_some(usual));
    load(file, std::env::vars_os(), flags)
}
