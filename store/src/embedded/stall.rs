//! Detects a disk that does not answer: a write that takes longer than [`STALL`] counts as an outage until it ends.
//!
//! The blocked writer cannot report it, so a second thread checks when the current write began.

use super::shared::Shared;
use jiff::Timestamp;
use maestro_core::ports::Outage;
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

/// How long a write may take before the store counts as unavailable (`/readyz`, docs/configuration.md).
const STALL: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(250);

/// Checks periodically until the writer drops the other end of `ends`.
pub fn watch(shared: &Shared, ends: &Receiver<()>) {
    let mut stalled: Option<Instant> = None;
    while let Err(RecvTimeoutError::Timeout) = ends.recv_timeout(LOOK) {
        let began = shared.writing.began();
        if stalled.is_some() && stalled != began {
            end(shared, &mut stalled);
        }
        if let Some(began) = began.filter(|at| stalled.is_none() && at.elapsed() > STALL) {
            stalled = Some(began);
            begin(shared, began);
        }
    }
    end(shared, &mut stalled);
}

fn begin(shared: &Shared, began: Instant) {
    // An outage that is already known has the better cause.
    if shared.outage().is_some() {
        return;
    }
    let cause = format!(
        "the disk does not answer: a write takes longer than {} s",
        STALL.as_secs()
    );
    tracing::error!(
        cause,
        data_dir = %shared.dir.display(),
        "the store takes no changes: reads, pings and rooms go on; mend it, nothing has to be started again"
    );
    let since = Timestamp::now().checked_sub(began.elapsed());
    let since = since.unwrap_or_else(|_| Timestamp::now());
    shared.set_stall(Some(Outage { since, cause }));
}

fn end(shared: &Shared, stalled: &mut Option<Instant>) {
    let Some(began) = stalled.take() else { return };
    if shared.set_stall(None) {
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(
            seconds,
            "the write that did not end has ended: the store answers again"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::EmbeddedStore;
    use super::*;
    use maestro_core::{
        domain::RoomStatus,
        ports::{Change, Ownership, Reads, Store},
    };
    use maestro_testkit::contract::store::{Owner, Ports, samples};
    use maestro_testkit::eventually;
    use std::sync::Arc;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_that_does_not_end_is_an_outage_until_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path()).unwrap();
        let ports = Ports {
            store: store.clone() as Arc<dyn Store>,
            reads: store.clone() as Arc<dyn Reads>,
            ownership: store.clone() as Arc<dyn Ownership>,
        };
        let mut owner = Owner::of(&ports, "fleet").await;
        let document = samples::scheduler("fleet", "v1.0.0");
        owner.put(vec![Change::CreateScheduler(document)]).await;
        assert!(store.outage().is_none());
        // redb allows one write at a time, so this transaction blocks the writer.
        let database = store.shared.database().unwrap();
        let held = database.begin_write().unwrap();
        let room = samples::room("r-1", RoomStatus::Ready);
        let write = tokio::spawn(async move {
            owner.put(vec![Change::PutRoom(Box::new(room))]).await;
        });
        eventually(LONG, "it is noticed", || store.outage().is_some()).await;
        let cause = store.outage().unwrap().cause.clone();
        assert!(cause.contains("does not answer"), "{cause}");
        let refused = store.check().await.unwrap_err().to_string();
        assert!(refused.contains(&cause), "{refused}");
        assert!(store.scheduler("fleet").await.unwrap().is_some());
        held.abort().unwrap();
        drop(database);
        write.await.unwrap();
        eventually(LONG, "it is over", || store.outage().is_none()).await;
        store.check().await.unwrap();
    }
}
