//! The connections of all forwarders: one shared target per address, renewed each day,
//! dropped when nobody uses it (contract 6.4).

use super::KeepAlive;
use super::target::Target;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A connection is made anew after this time, used or not.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);
/// One that nobody uses is closed after this time, at the next call of any forwarder.
const UNUSED_AFTER: Duration = Duration::from_secs(1800);
/// Addresses at one time; beyond, the one that was not used for longest goes.
const TARGETS_MAX: usize = 1024;

pub(super) struct Connections {
    keep_alive: KeepAlive,
    targets: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    target: Arc<Target>,
    born: Instant,
    used: Instant,
}

impl Connections {
    pub fn new(keep_alive: KeepAlive) -> Self {
        Self {
            keep_alive,
            targets: Mutex::default(),
        }
    }

    /// Calls under way keep a target that is renewed or dropped meanwhile.
    pub fn target(&self, address: &str) -> Arc<Target> {
        let now = Instant::now();
        let mut targets = self.targets.lock();
        if let Some(entry) = targets.get_mut(address)
            && now - entry.born < RENEW_AFTER
        {
            entry.used = now;
            return entry.target.clone();
        }
        targets.retain(|_, entry| now - entry.used < UNUSED_AFTER);
        if targets.len() >= TARGETS_MAX {
            let oldest = targets.iter().min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(address, _)| address.clone());
            oldest.map(|address| targets.remove(&address));
        }
        let target = Arc::new(Target::new(address, self.keep_alive));
        let entry = Entry {
            target: target.clone(),
            born: now,
            used: now,
        };
        targets.insert(address.to_owned(), entry);
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_has_one_connection_which_is_renewed_each_day() {
        let connections = Connections::new(KeepAlive::default());
        let first = connections.target("mm:80");
        for _ in 0..47 {
            tokio::time::advance(Duration::from_secs(1800)).await;
            assert!(Arc::ptr_eq(&first, &connections.target("mm:80")));
        }
        tokio::time::advance(Duration::from_secs(1800)).await;
        assert!(!Arc::ptr_eq(&first, &connections.target("mm:80")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_uses_is_dropped_and_the_number_is_bounded() {
        let connections = Connections::new(KeepAlive::default());
        for n in 0..=TARGETS_MAX {
            connections.target(&format!("mm:{n}"));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let known = |address: &str| connections.targets.lock().contains_key(address);
        assert_eq!(connections.targets.lock().len(), TARGETS_MAX);
        assert!(!known("mm:0") && known("mm:1"));
        tokio::time::advance(UNUSED_AFTER).await;
        connections.target("another:80");
        assert_eq!(connections.targets.lock().len(), 1);
    }
}
