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

    /// What keeps the stores from changes, as a look at both has just found. A cause that none of them gives any more
    /// makes way for one that lasts: who repairs has to know what is left. The outage goes on.
    pub fn found(&self, causes: &[String]) {
        let Some(first) = causes.first() else {
            return self.works();
        };
        let mut outage = self.outage.lock();
        // A change may have succeeded since.
        let Some(known) = outage
            .as_ref()
            .filter(|known| !causes.contains(&known.cause))
        else {
            return;
        };
        tracing::error!(
            cause = first,
            "the stores still take no changes, for another cause"
        );
        let (since, cause) = (known.since, first.clone());
        *outage = Some(Arc::new(Outage { since, cause }));
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
    #[test]
    fn a_cause_that_is_over_makes_way_for_one_that_lasts() {
        let health = Health::default();
        let causes = |causes: &[&str]| causes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        health.found(&causes(&["Redis: OOM"]));
        assert_eq!(health.outage(), None, "only a change begins an outage");
        health.failed("Redis: OOM");
        let begun = health.outage().unwrap();
        health.found(&causes(&["Postgres is away", "Redis: OOM"]));
        assert_eq!(health.outage().unwrap(), begun, "it is not over");
        health.found(&causes(&["Postgres is away"]));
        let now = health.outage().unwrap();
        assert_eq!(
            (now.since, now.cause.as_str()),
            (begun.since, "Postgres is away")
        );
        health.found(&[]);
        assert_eq!(health.outage(), None);
    }
}
