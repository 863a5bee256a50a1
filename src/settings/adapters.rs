//! Which store and which runtime the settings ask for. This build has the embedded store,
//! local processes and rooms on paper.

use super::key::Selects;
use super::keys::KEYS;
use super::{Loaded, RuntimeKind, Settings, StoreKind};

/// What the Go Maestro ships for a key where we ship another value (D20): its file asks for nothing either.
const SHIPPED_THERE: &[(&str, &str)] = &[(
    "adapters.runtime.kubernetes.masterUrl",
    "https://127.0.0.1:6443",
)];

/// # Errors
/// What was asked for that this build does not have, and how to do without.
pub fn check(loaded: &Loaded) -> Result<(), String> {
    let Settings { store, runtime, .. } = &loaded.settings;
    let mut asked = Vec::new();
    match store {
        StoreKind::Embedded => {}
        StoreKind::Postgres => asked.push("store.type: postgres".to_owned()),
        StoreKind::Auto => asked.extend(selecting(loaded, Selects::Store)),
    }
    match runtime {
        RuntimeKind::Process | RuntimeKind::Simulated => {}
        RuntimeKind::Kubernetes => asked.push("runtime.type: kubernetes".to_owned()),
        RuntimeKind::Auto => asked.extend(selecting(loaded, Selects::Runtime)),
    }
    match asked.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "this build has no cluster store (Postgres and Redis) and no Kubernetes, which is asked for by: {}; \
             remove these settings, or set store.type to embedded and runtime.type to process",
            asked.join(", ")
        )),
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
