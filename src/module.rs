//! The modules of the contract (1.1): what a process serves and hosts.

use crate::settings::{Listen, Loaded, Settings, StoreKind};
use clap::ValueEnum;

/// The modules of the contract, `all` of them in one process, and the operator of one runtime, which is apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Module {
    All,
    ManagementApi,
    RoomsApi,
    Worker,
    RuntimeWatcher,
    MetricsReporter,
    /// Of one runtime on Kubernetes, from within its namespace
    Operator,
    /// The calls of the K8s manager alone, over gRPC.
    #[value(name = "k8s-manager")]
    K8sManager,
}

impl std::fmt::Display for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::ManagementApi => "management-api",
            Self::RoomsApi => "rooms-api",
            Self::Worker => "worker",
            Self::RuntimeWatcher => "runtime-watcher",
            Self::MetricsReporter => "metrics-reporter",
            Self::Operator => "operator",
            Self::K8sManager => "k8s-manager",
        })
    }
}

impl Module {
    /// Whether schedulers have their owners here, and rooms their runtime. Other modules pass calls on.
    pub fn hosts(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }

    /// Whether it reads the figures of all fleets from the stores. The owners report them themselves where all modules
    /// are one process.
    pub fn reads_figures(self) -> bool {
        self == Self::MetricsReporter
    }

    /// Why it cannot run alone on the embedded store.
    pub fn needs_shared_store(self) -> String {
        let instead = match self {
            Self::MetricsReporter => {
                "it reports its schedulers itself, on /metrics of its internal server (internalApi.port)"
            }
            Self::RoomsApi => "it serves the rooms API on roomsApi.port",
            Self::ManagementApi => "it serves the management API on api.port",
            Self::K8sManager => "it serves the calls of the K8s manager on grpc.port",
            Self::RuntimeWatcher => "it watches its rooms itself",
            _ => "it works the operations of all schedulers",
        };
        format!(
            "the module {self} alone needs a store that several processes share (Postgres and Redis): the embedded \
             store belongs to one process. Run `maestro start all`; {instead}. Or set \
             adapters.schedulerStorage.postgres.url and the six adapters.*.redis.url"
        )
    }
}

/// Where a process listens, beside its internal server and the calls of other nodes.
#[derive(Clone, Debug)]
pub struct Duties {
    pub module: Module,
    pub management: Option<Listen>,
    pub rooms: Option<Listen>,
    pub grpc: Option<Listen>,
}

impl Duties {
    /// Everything in one process.
    pub fn all(settings: &Settings) -> Self {
        Self {
            module: Module::All,
            management: Some(settings.api.clone()),
            rooms: Some(settings.rooms_api.clone()),
            grpc: Some(settings.grpc.clone()),
        }
    }

    /// Of a module that serves no API.
    pub fn none(module: Module) -> Self {
        Self {
            module,
            management: None,
            rooms: None,
            grpc: None,
        }
    }

    /// # Errors
    /// If the module cannot run on the store in use.
    pub fn of(module: Module, loaded: &Loaded) -> Result<Self, String> {
        let settings = &loaded.settings;
        let all = Self::all(settings);
        if module == Module::All {
            return Ok(all);
        }
        if settings.store == StoreKind::Embedded {
            return Err(module.needs_shared_store());
        }
        // The original has one port for both APIs: each is a process of its own there.
        let rooms = match loaded.is_set_by_hand("roomsApi.port") {
            true => all.rooms,
            false => Some(settings.api.clone()),
        };
        // Several modules on one machine would take the same port; operators call the management API.
        let serves_grpc = matches!(module, Module::ManagementApi | Module::K8sManager);
        let grpc = all
            .grpc
            .filter(|_| serves_grpc || loaded.is_set_by_hand("grpc.port"));
        Ok(Self {
            module,
            management: all.management.filter(|_| module == Module::ManagementApi),
            rooms: rooms.filter(|_| module == Module::RoomsApi),
            grpc,
        })
    }

    /// All public addresses with their keys.
    pub fn public(&self) -> impl Iterator<Item = (&'static str, &Listen)> {
        let all = [
            ("the management API", &self.management),
            ("the rooms API", &self.rooms),
            ("gRPC", &self.grpc),
        ];
        all.into_iter()
            .filter_map(|(what, listen)| Some((what, listen.as_ref()?)))
    }
}
