//! Which schedulers this process has proven to own, since the connection to Redis was made.
//!
//! A Redis that fails over to a replica that lagged, or is restored, is at earlier fences: a former owner that was
//! stopped meanwhile could write again. Whoever gets to such a Redis gets there by a new connection, so after each one
//! a process asks Postgres once which schedulers are its own, and writes their fences again (`proving`).

use maestro_core::domain::{Epoch, SchedulerName};
use maestro_core::ports::{Claim, CommitError, Fence};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a question that failed is not asked again. Otherwise all owners would do so one after the other, each for
/// as long as the answer may take.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// Looked at before each write, so it must not wait.
#[derive(Default)]
pub struct Proof {
    proven: Mutex<Proven>,
    /// One question is enough for all owners, also one that failed.
    pub asking: tokio::sync::Mutex<Option<Failure>>,
}

/// A question without an answer.
pub struct Failure {
    connection: u64,
    at: Instant,
    error: CommitError,
}

impl Failure {
    pub fn new(connection: u64, error: CommitError) -> Self {
        Self {
            connection,
            at: Instant::now(),
            error,
        }
    }

    /// Why another question over this connection would have no answer either.
    pub fn holds(&self, connection: u64) -> Option<CommitError> {
        let is_new = self.connection == connection && self.at.elapsed() < FAILURE_HOLDS;
        is_new.then(|| self.error.clone())
    }
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
