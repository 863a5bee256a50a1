//! The store and the runtime that the settings select.

use super::key::Selects;
use super::keys::{KEYS, POSTGRES_URL};
use super::{Loaded, RuntimeKind, StoreKind};

/// The Go Maestro's default for a key with another default here (D20): its file does not ask for a cluster either.
const SHIPPED_THERE: &[(&str, &str)] = &[(
    "adapters.runtime.kubernetes.masterUrl",
    "https://127.0.0.1:6443",
)];

/// The runtime that is used: Kubernetes if a key of it has a value of one's own.
pub fn runtime_in_use(loaded: &Loaded) -> RuntimeKind {
    match loaded.settings.runtime {
        RuntimeKind::Auto => match selecting(loaded, Selects::Runtime) {
            true => RuntimeKind::Kubernetes,
            false => RuntimeKind::Process,
        },
        chosen => chosen,
    }
}

/// The store that is used: the cluster store if a key of it has a value of one's own.
pub fn store_in_use(loaded: &Loaded) -> StoreKind {
    match loaded.settings.store {
        StoreKind::Auto => match selecting(loaded, Selects::Store) {
            true => StoreKind::Postgres,
            false => StoreKind::Embedded,
        },
        chosen => chosen,
    }
}

/// Whether `maestro migrate` migrates a database rather than the embedded store: its URL is set. Files spell out all
/// defaults, so that one says nothing there, but whoever sets a variable or a flag to it means it.
pub fn migrates_postgres(loaded: &Loaded) -> bool {
    match loaded.settings.store {
        StoreKind::Embedded => false,
        StoreKind::Postgres => true,
        StoreKind::Auto => loaded.is_set_by_hand(POSTGRES_URL),
    }
}

fn selecting(loaded: &Loaded, adapter: Selects) -> bool {
    KEYS.iter()
        .filter(|key| key.selects == Some(adapter) && loaded.is_changed(key))
        .any(|key| {
            let value = key.show(&loaded.settings);
            !SHIPPED_THERE.contains(&(key.path, value.as_str()))
        })
}
