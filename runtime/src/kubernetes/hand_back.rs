//! Gives disruption budgets back to the Go Maestro (contract 4.9).
//!
//! It writes the number of a budget and never its selector: left with ours, its budgets would select no pod that it
//! makes, and every eviction would be allowed.

use super::budget_object::{self, is_ours, labelling};
use super::client::{Calls, Failure, pods};
use super::labels;
use super::limiter::Urgency;
use super::seen::SeenPod;
use super::settings::{KubernetesSettings, OpenError};
use futures_util::stream::{self, StreamExt};
use kube::api::{ListParams, Patch, PatchParams};
use maestro_core::domain::SchedulerName;
use maestro_core::ports::RuntimeError;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Schedulers that are handed back at once.
const TOGETHER: usize = 16;

/// Why budgets were not handed back. It can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum HandBackError {
    /// The cluster cannot be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A budget or a pod could not be written.
    #[error("the disruption budget of {0} is still ours: {1}")]
    Budget(SchedulerName, RuntimeError),
}

/// Makes the budgets of these schedulers those of the Go Maestro again, which select all of a scheduler's rooms, and
/// takes our marks off the pods. Returns how many were ours. `safety` is the share of rooms that it lets go.
///
/// # Errors
/// If the API server cannot be reached or refuses a write.
pub async fn hand_back(
    settings: &KubernetesSettings,
    schedulers: &[SchedulerName],
    safety: f64,
) -> Result<usize, HandBackError> {
    let stopping = CancellationToken::new();
    let _ends_calls = stopping.clone().drop_guard();
    let calls = Calls::open(settings, stopping).await?;
    let each = schedulers.iter().map(|scheduler| {
        let done = one(&calls, scheduler, safety);
        async move {
            let done = done.await;
            done.map_err(|failure| HandBackError::Budget(scheduler.clone(), failure.into()))
        }
    });
    let each: Vec<_> = stream::iter(each)
        .buffer_unordered(TOGETHER)
        .collect()
        .await;
    let done: Vec<bool> = each.into_iter().collect::<Result<_, _>>()?;
    Ok(done.into_iter().filter(|was_ours| *was_ours).count())
}

/// The answer: whether there was a budget of ours.
async fn one(calls: &Calls, scheduler: &SchedulerName, safety: f64) -> Result<bool, Failure> {
    let of = scheduler.clone();
    let call = move |client| {
        let of = of.clone();
        async move {
            let all = ListParams::default().labels(labels::OUR_PODS);
            pods(client, &of).list(&all).await
        }
    };
    let rooms = calls.run(scheduler, Urgency::Normal, call).await?.items;
    let was_ours = restore(calls, scheduler, number(rooms.len(), safety)).await?;
    // After the budget: in between they are protected twice rather than not at all.
    let marked = rooms
        .iter()
        .filter_map(SeenPod::of)
        .filter(|pod| pod.protected);
    for pod in marked {
        let (of, room) = (scheduler.clone(), pod.instance.room.to_string());
        let patch = labelling(false, pod.pinned);
        let call = move |client| {
            let (of, room, patch) = (of.clone(), room.clone(), Patch::Merge(patch.clone()));
            async move {
                let api = pods(client, &of);
                unless_gone(api.patch(&room, &PatchParams::default(), &patch).await)
            }
        };
        calls.run(scheduler, Urgency::Normal, call).await?;
    }
    Ok(was_ours)
}

/// As the Go Maestro computes it, which does so again within a minute.
fn number(rooms: usize, safety: f64) -> i32 {
    if rooms < 2 {
        return 0;
    }
    let kept = rooms as f64 * (1.0 - safety.clamp(0.0, 1.0));
    kept.trunc() as i32
}

async fn restore(calls: &Calls, scheduler: &SchedulerName, number: i32) -> Result<bool, Failure> {
    let found = budget_object::find(calls, scheduler, Urgency::Normal).await?;
    if !found.is_some_and(|found| is_ours(&found)) {
        return Ok(false);
    }
    let theirs = theirs(scheduler, number);
    match budget_object::patch(calls, scheduler, Urgency::Normal, theirs).await {
        // It is gone by now.
        Err(failure) if failure.code() == 404 => Ok(false),
        patched => patched.map(|_| true),
    }
}

/// What is gone by now needs no patch.
fn unless_gone<T>(patched: kube::Result<T>) -> kube::Result<Option<T>> {
    match patched {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        patched => patched.map(Some),
    }
}

fn theirs(scheduler: &SchedulerName, number: i32) -> Value {
    json!({"spec": {
        "minAvailable": number,
        "maxUnavailable": null,
        "selector": {"matchLabels": {labels::PROTECTED: null, labels::SCHEDULER: scheduler.as_str()}},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_one_that_the_go_maestro_writes() {
        for (rooms, expected) in [(0, 0), (1, 0), (2, 1), (4, 3), (5, 4), (20, 19), (100, 95)] {
            assert_eq!(number(rooms, 0.05), expected, "{rooms}");
        }
    }
}
