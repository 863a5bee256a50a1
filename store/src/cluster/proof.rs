//! Which schedulers this process has proven to own, since the connection to Redis was made.
//!
//! A Redis that fails over to a replica that lagged, or is restored, is at earlier fences: a former owner that was
//! stopped meanwhile could write again. Whoever gets to such a Redis gets there by a new connection, so after each one
//! a process asks Postgres once which schedulers are its own, and writes their fences again (`proving`).

use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Claim, Fence};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Looked at before each write, so it must not wait.
#[derive(Default)]
pub struct Proof {
    proven: Mutex<Proven>,
    /// One question is enough for all owners.
    pub asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Proven {
    /// The connection, by its number.
    connection: u64,
    owned: HashMap<SchedulerName, Epoch>,
}

impl Proof {
    pub fn has(&self, connection: u64, fence: &Fence) -> bool {
        let proven = self.proven.lock();
        proven.connection == connection && proven.owned.get(&fence.scheduler) == Some(&fence.epoch)
    }

    /// Of claims that Postgres granted, and whose fences were raised over this connection. All others are proven anew.
    pub fn granted(&self, connection: u64, names: &[SchedulerName], claims: &[Claim]) {
        let mut proven = self.proven.lock();
        if proven.connection != connection {
            *proven = Proven {
                connection,
                owned: HashMap::new(),
            };
        }
        for (name, claim) in names.iter().zip(claims) {
            if let Claim::Owned { epoch, .. } = claim {
                proven.owned.insert(name.clone(), *epoch);
            }
        }
    }

    /// The schedulers were given back.
    pub fn forget(&self, names: &[SchedulerName]) {
        let mut proven = self.proven.lock();
        for name in names {
            proven.owned.remove(name);
        }
    }

    pub fn replace(&self, connection: u64, owned: Vec<(SchedulerName, Epoch)>) {
        *self.proven.lock() = Proven {
            connection,
            owned: owned.into_iter().collect(),
        };
    }
}
