//! The store and the runtime that the settings select. This build has both stores, local processes and simulated rooms.

use super::key::Selects;
use super::keys::{KEYS, POSTGRES_URL};
use super::{Loaded, RuntimeKind, StoreKind};

/// The Go Maestro's default for a key with another default here (D20): its file does not ask for a cluster either.
const SHIPPED_THERE: &[(&str, &str)] = &[(
    "adapters.runtime.kubernetes.masterUrl",
    "https://127.0.0.1:6443",
)];

/// # Errors
/// A requested adapter that this build does not have, and the alternative.
pub fn check(loaded: &Loaded) -> Result<(), String> {
    let mut asked = Vec::new();
    match loaded.settings.runtime {
        RuntimeKind::Process | RuntimeKind::Simulated => {}
        RuntimeKind::Kubernetes => asked.push("runtime.type: kubernetes".to_owned()),
        RuntimeKind::Auto => asked.extend(selecting(loaded, Selects::Runtime)),
    }
    match asked.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "this build has no Kubernetes, which is asked for by: {}; \
             remove these settings, or set runtime.type to process",
            asked.join(", ")
        )),
    }
}

/// The store that is used: the cluster store if a key of it has a value of one's own.
pub fn store_in_use(loaded: &Loaded) -> StoreKind {
    let auto = || match selecting(loaded, Selects::Store).next() {
        Some(_) => StoreKind::Postgres,
        None => StoreKind::Embedded,
    };
    match loaded.settings.store {
        StoreKind::Auto => auto(),
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

fn selecting(loaded: &Loaded, adapter: Selects) -> impl Iterator<Item = String> {
    KEYS.iter()
        .filter(move |key| key.selects == Some(adapter) && loaded.is_changed(key))
        .filter(|key| {
            let value = key.show(&loaded.settings);
            !SHIPPED_THERE.contains(&(key.path, value.as_str()))
        })
        .map(|key| loaded.named(key))
}
