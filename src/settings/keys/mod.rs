//! All keys (contract 1.4, and ours), in the order of the shipped file.

mod cluster;
mod fleet;
mod kubernetes;
mod manager;
mod nodes;
mod resources;
mod runtimes;
mod servers;

pub use cluster::POSTGRES_URL;

use super::key::Key;
use std::sync::LazyLock;

/// All keys. Those of one group (`workers.…`) are adjacent: they are one map in the file.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let parts = [
        servers::keys(),
        nodes::keys(),
        cluster::adapters(),
        fleet::keys(),
        cluster::others(),
        resources::keys(),
        runtimes::keys(),
        manager::keys(),
    ];
    parts.into_iter().flatten().collect()
});

/// Another name of a key.
pub struct Alias {
    pub name: &'static str,
    pub of: &'static str,
    /// Deprecated, with a warning; otherwise it is another spelling.
    pub old: bool,
}

/// Old names, and both spellings of the original's typing errors (D24, contract 11.53).
pub const ALIASES: &[Alias] = &[
    Alias {
        name: "workers.operationExecution.healthControllerInterval",
        of: "workers.healthControllerInterval",
        old: true,
    },
    Alias {
        name: "workers.storageCleanupInterval",
        of: "workers.storageClenupInterval",
        old: false,
    },
    Alias {
        name: "adapters.schedulerStorage.postgres.pooSize",
        of: "adapters.schedulerStorage.postgres.poolSize",
        old: false,
    },
];

/// Variables of the K8s manager, which mean a key of ours.
pub const SEED_VARIABLES: &[Alias] = &[
    Alias {
        name: "KRE_PROMETHEUS_URL",
        of: "prometheus.url",
        old: false,
    },
    Alias {
        name: "KRE_PORT",
        of: "grpc.port",
        old: false,
    },
    Alias {
        name: "KRE_DEVELOPMENT_MODE",
        of: "developmentMode",
        old: false,
    },
    Alias {
        name: "KRE_BASE_DOMAIN_NAME",
        of: "baseDomainName",
        old: false,
    },
    Alias {
        name: "KRE_KUBERNETES_OPERATOR_VERSION",
        of: "kubernetes.operator.version",
        old: false,
    },
];

/// The key that a path names, by any of its names, and the alias if it is one.
pub fn find(path: &str) -> Option<(&'static Key, Option<&'static Alias>)> {
    let alias = ALIASES
        .iter()
        .find(|alias| alias.name.eq_ignore_ascii_case(path));
    let path = alias.map_or(path, |alias| alias.of);
    let key = KEYS.iter().find(|key| key.path.eq_ignore_ascii_case(path));
    key.map(|key| (key, alias))
}

/// All accepted names.
pub fn names() -> impl Iterator<Item = &'static str> {
    let keys = KEYS.iter().map(|key| key.path);
    keys.chain(ALIASES.iter().map(|alias| alias.name))
}
