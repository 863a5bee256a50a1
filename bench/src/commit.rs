//! Measures how long the embedded store takes to make one row durable, on the same disk and in the
//! same run as the operations: their figures are compared with it.

use anyhow::{Context, bail};
use maestro_core::domain::{Scheduler, SchedulerName, Seq};
use maestro_core::ports::{Change, Claim, Fence, Ownership, Store};
use maestro_store::embedded::EmbeddedStore;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const COMMITS: u64 = 500;

/// The median time to commit one row, in a separate store next to the measured one.
///
/// # Errors
/// If the store fails.
pub async fn median_of_one_row(folder: &Path) -> anyhow::Result<Duration> {
    let folder = folder.join("one-row");
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&folder));
    let store = opened.await.context("opening was interrupted")??;
    let name = SchedulerName::from("one-row");
    let claims = store.acquire(std::slice::from_ref(&name)).await?;
    let Some(Claim::Owned { epoch, seq }) = claims.first() else {
        bail!("a new store has another owner");
    };
    let scheduler = Arc::new(Scheduler {
        name: name.clone(),
        game: "bench".into(),
        ..Scheduler::default()
    });
    let mut times = Vec::new();
    for number in 0..COMMITS {
        let change = match number {
            0 => Change::CreateScheduler(scheduler.clone()),
            _ => Change::UpdateScheduler(scheduler.clone()),
        };
        let fence = Fence {
            scheduler: name.clone(),
            epoch: *epoch,
            previous: Seq(seq.0 + number),
            seq: Seq(seq.0 + number + 1),
        };
        let began = Instant::now();
        store.commit(fence, [change].into()).await?;
        times.push(began.elapsed());
    }
    store.close().await;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
