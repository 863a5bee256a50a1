//! Whether the stores take changes: from the first change that fails to the next one that succeeds.

use jiff::Timestamp;
use maestro_core::ports::Outage;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// Read before each decision, so it must not wait.
#[derive(Default)]
pub struct Health {
    outage: Mutex<Option<Arc<Outage>>>,
    begun: Notify,
}

impl Health {
    /// The outage, if there is one.
    pub fn outage(&self) -> Option<Arc<Outage>> {
        self.outage.lock().clone()
    }

    /// A change failed, for a reason that lies in a store.
    pub fn failed(&self, cause: &str) {
        let mut outage = self.outage.lock();
        if outage.is_none() {
            tracing::error!(
                cause,
                "the stores take no changes: reads, pings and rooms continue; fix the cause, no restart is needed"
            );
            let since = Timestamp::now();
            let cause = cause.to_owned();
            *outage = Some(Arc::new(Outage { since, cause }));
            self.begun.notify_one();
        }
    }

    /// A change succeeded.
    pub fn works(&self) {
        // Nearly always there is none, and this is called for every change.
        if self.outage.lock().take().is_some() {
            tracing::info!("the stores take changes again");
        }
    }

    /// Completes when an outage has begun.
    pub async fn begins(&self) {
        self.begun.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outage_lasts_from_the_first_failure_to_the_next_success() {
        let health = Health::default();
        health.works();
        assert_eq!(health.outage(), None);
        health.failed("Redis: OOM");
        health.failed("Redis: it is gone");
        health.begins().await;
        let outage = health.outage().unwrap();
        assert_eq!(outage.cause, "Redis: OOM", "what began it");
        health.works();
        assert_eq!(health.outage(), None);
    }
}
