//! The disruption budget of a scheduler (contract 4.9, D11): evictions leave the rooms alone in which somebody plays.
//!
//! The budget selects the pods with the label of protected rooms, and asks that as many stay available. So evictions of
//! all other rooms are allowed. Writes are ordered so that no protected room is without protection in between: the
//! number is raised before pods are labelled, and lowered after their labels are gone.

use super::client::{Calls, Failure, pods};
use super::index::Index;
use super::labels;
use super::limiter::Urgency;
use super::namespace::is_missing;
use super::seen::SeenPod;
use futures_util::stream::{self, StreamExt};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use maestro_core::domain::{RoomId, SchedulerName};
use maestro_core::ports::{Protection, RuntimeError};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

/// How long the disruption controller's answer to a higher number is awaited before pods are labelled all the same.
const OBSERVED_WAIT: Duration = Duration::from_secs(1);
/// The pause before the first look for that answer; each following one is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(20);
/// Pods of one order that are labelled at once.
const LABELLED_AT_ONCE: usize = 32;

/// Writes budgets and the labels that they select.
pub struct Budgets {
    writer: Writer,
    tasks: TaskTracker,
    /// Each scheduler's orders are carried out one after the other, in the order in which they came.
    schedulers: Mutex<HashMap<SchedulerName, Arc<tokio::sync::Mutex<Written>>>>,
}

/// The number in the budget after the last order; `None` if it is not known.
type Written = Option<i32>;

#[derive(Clone)]
struct Writer {
    calls: Calls,
    index: Arc<Index>,
    is_refused: Arc<AtomicBool>,
}

impl Budgets {
    pub fn new(calls: Calls, index: Arc<Index>, tasks: TaskTracker) -> Self {
        Self {
            writer: Writer {
                calls,
                index,
                is_refused: Arc::default(),
            },
            tasks,
            schedulers: Mutex::default(),
        }
    }

    /// Makes the rooms of the order protected or not, and the number that of the order. An order that has begun is
    /// carried out to its end when the caller goes away: calls of it that are under way could overtake the next one.
    ///
    /// # Errors
    /// As the API server answers. Whatever was written stays; the same order can be repeated.
    pub async fn protect(
        &self,
        scheduler: &SchedulerName,
        order: &Protection,
    ) -> Result<(), RuntimeError> {
        let of_scheduler = {
            let mut all = self.schedulers.lock();
            all.entry(scheduler.clone()).or_default().clone()
        };
        let mut written = of_scheduler.lock_owned().await;
        let (writer, scheduler, order) = (self.writer.clone(), scheduler.clone(), order.clone());
        let carried_out = async move {
            let known = written.take();
            let done = writer.carry_out(&scheduler, &order, known).await;
            *written = done.as_ref().ok().copied().flatten();
            done.map(|_| ())
        };
        let task = self.tasks.spawn_on(carried_out, self.writer.calls.io());
        let done = task.await.unwrap_or(Err(Failure::Stopped));
        Ok(done?)
    }

    /// The scheduler's namespace is gone.
    pub fn forget(&self, scheduler: &SchedulerName) {
        self.schedulers.lock().remove(scheduler);
    }
}

impl Writer {
    /// The answer: the number that the budget has now.
    async fn carry_out(
        &self,
        scheduler: &SchedulerName,
        order: &Protection,
        known: Written,
    ) -> Result<Written, Failure> {
        let number = i32::try_from(order.number).unwrap_or(i32::MAX);
        let known = known.filter(|_| !order.all);
        let (on, off, selected) = self.changes(scheduler, order, known);
        let raised = number.max(selected);
        let mut budget = None;
        if known != Some(raised) {
            budget = self.write(scheduler, raised, known.is_none()).await?;
        }
        if let Some(budget) = budget.filter(|_| !on.is_empty()) {
            self.until_observed(scheduler, budget).await?;
        }
        self.label(scheduler, on, true).await?;
        self.label(scheduler, off, false).await?;
        if number < raised {
            self.write(scheduler, number, false).await?;
        }
        Ok(Some(number))
    }

    /// The pods that are to be labelled and unlabelled, and how many the budget selects in between. An order for all
    /// rooms writes nothing to pods that are as they should be; any other names only those that change.
    fn changes(
        &self,
        scheduler: &SchedulerName,
        order: &Protection,
        known: Written,
    ) -> (Vec<RoomId>, Vec<RoomId>, i32) {
        let count = |rooms: usize| i32::try_from(rooms).unwrap_or(i32::MAX);
        if !order.all {
            let selected = known.unwrap_or(0).saturating_add(count(order.on.len()));
            return (order.on.clone(), order.off.clone(), selected);
        }
        let labelled = self.index.protected(scheduler);
        let meant: HashSet<&RoomId> = order.on.iter().collect();
        let on = order.on.iter().filter(|room| !labelled.contains(*room));
        let on: Vec<RoomId> = on.cloned().collect();
        let mut off: HashSet<RoomId> = order.off.iter().cloned().collect();
        let too_many = labelled.iter().filter(|room| !meant.contains(room));
        off.extend(too_many.cloned());
        let selected = count(labelled.len() + on.len());
        (on, off.into_iter().collect(), selected)
    }

    /// Makes the number of the budget this one. `repair`: the rest of it too, which somebody may have edited, and which
    /// differs in a budget of the Go Maestro. `None`: there is no budget, since its namespace is going, or since this
    /// process may not write it.
    async fn write(
        &self,
        scheduler: &SchedulerName,
        number: i32,
        repair: bool,
    ) -> Result<Option<PodDisruptionBudget>, Failure> {
        let of = scheduler.clone();
        let call = move |client: Client| put(client, of.clone(), number, repair);
        match self.calls.run(scheduler, Urgency::Urgent, call).await {
            Err(failure) if failure.is_right_missing() => {
                self.refused(&failure);
                Ok(None)
            }
            Err(failure) if is_missing(&failure) => Ok(None),
            written => written.map(Some),
        }
    }

    /// Waits until the disruption controller counts with the budget as it was written.
    async fn until_observed(
        &self,
        scheduler: &SchedulerName,
        written: PodDisruptionBudget,
    ) -> Result<(), Failure> {
        let generation = written.metadata.generation;
        let until = Instant::now() + OBSERVED_WAIT;
        let mut pause = FIRST_LOOK;
        let mut seen = Some(written);
        while seen.is_some_and(|seen| !has_observed(&seen, generation)) && Instant::now() < until {
            sleep(pause).await;
            pause *= 2;
            let of = scheduler.clone();
            let call = move |client| {
                let of = of.clone();
                async move { budgets(client, &of).get_opt(of.as_str()).await }
            };
            seen = self.calls.run(scheduler, Urgency::Urgent, call).await?;
        }
        Ok(())
    }

    /// All pods are tried, whatever happens to one of them.
    async fn label(
        &self,
        scheduler: &SchedulerName,
        rooms: Vec<RoomId>,
        on: bool,
    ) -> Result<(), Failure> {
        let labelled = rooms
            .into_iter()
            .map(|room| self.label_one(scheduler, room, on));
        let labelled = stream::iter(labelled).buffer_unordered(LABELLED_AT_ONCE);
        let all: Vec<_> = labelled.collect().await;
        all.into_iter().collect()
    }

    async fn label_one(
        &self,
        scheduler: &SchedulerName,
        room: RoomId,
        on: bool,
    ) -> Result<(), Failure> {
        let pinned = self.index.is_pinned(scheduler, &room);
        let (of, patch) = (scheduler.clone(), labelling(on, pinned));
        let call = move |client| {
            let (of, room, patch) = (of.clone(), room.clone(), Patch::Merge(patch.clone()));
            async move {
                let api = pods(client, &of);
                api.patch(room.as_str(), &PatchParams::default(), &patch)
                    .await
            }
        };
        match self.calls.run(scheduler, Urgency::Urgent, call).await {
            Ok(pod) => {
                // The next order may come before the watch tells.
                if let Some(seen) = SeenPod::of(&pod) {
                    let _ = self.index.apply(seen, true);
                }
                Ok(())
            }
            Err(failure) if failure.is_right_missing() => {
                self.refused(&failure);
                Ok(())
            }
            // The room is gone.
            Err(failure) if failure.code() == 404 => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Rooms run without budgets, as they do without the right to write events.
    fn refused(&self, failure: &Failure) {
        if !self.is_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                ?failure,
                "this process may not protect rooms from evictions: grant it to get, create and patch \
                 poddisruptionbudgets and to patch pods"
            );
        }
    }
}

/// The budgets of a scheduler's namespace.
pub fn budgets(client: Client, scheduler: &SchedulerName) -> Api<PodDisruptionBudget> {
    Api::namespaced(client, scheduler.as_str())
}

/// Writes the budget, or nothing where it is as it should be.
async fn put(
    client: Client,
    scheduler: SchedulerName,
    number: i32,
    repair: bool,
) -> kube::Result<PodDisruptionBudget> {
    let (api, name) = (budgets(client, &scheduler), scheduler.as_str());
    let mut patch = json!({"spec": {"minAvailable": number}});
    if repair {
        match api.get_opt(name).await? {
            Some(found) => match repairing(&found, number) {
                Some(repairing) => patch = repairing,
                None => return Ok(found),
            },
            None => return create(&api, name, number).await,
        }
    }
    let merged = Patch::Merge(&patch);
    match api.patch(name, &PatchParams::default(), &merged).await {
        Err(kube::Error::Api(status)) if status.code == 404 => create(&api, name, number).await,
        written => written,
    }
}

async fn create(
    api: &Api<PodDisruptionBudget>,
    name: &str,
    number: i32,
) -> kube::Result<PodDisruptionBudget> {
    let new = json!({
        "metadata": {"name": name, "labels": {labels::MANAGED_BY: labels::MAESTRO}},
        "spec": {
            "minAvailable": number,
            "selector": {"matchLabels": {labels::PROTECTED: "true"}},
        },
    });
    let new = serde_json::from_value(new).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &new).await {
        // Ours, by a call whose answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => api.get(name).await,
        created => created,
    }
}

/// What makes a budget ours, whatever it selects; `None` if it is as it should be. There is one budget over a pod: with
/// that of the Go Maestro, which selects all rooms, beside ours each eviction would be answered by an error.
fn repairing(found: &PodDisruptionBudget, number: i32) -> Option<Value> {
    let spec = found.spec.clone().unwrap_or_default();
    let counts = spec.min_available == Some(IntOrString::Int(number));
    if is_ours(found) && counts && spec.max_unavailable.is_none() {
        return None;
    }
    let selected = spec
        .selector
        .unwrap_or_default()
        .match_labels
        .unwrap_or_default();
    let mut wanted: Map<String, Value> = selected
        .into_keys()
        .map(|name| (name, Value::Null))
        .collect();
    wanted.insert(labels::PROTECTED.to_owned(), "true".into());
    Some(json!({
        "metadata": {"labels": {labels::MANAGED_BY: labels::MAESTRO}},
        "spec": {
            "minAvailable": number,
            "maxUnavailable": null,
            "selector": {"matchLabels": wanted, "matchExpressions": null},
        },
    }))
}

/// Whether a budget selects the rooms that are protected, and no others.
pub fn is_ours(found: &PodDisruptionBudget) -> bool {
    let selector = found.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let Some(selector) = selector else {
        return false;
    };
    let selected = selector.match_labels.iter().flatten();
    selected.eq([(&labels::PROTECTED.to_owned(), &"true".to_owned())])
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty)
}

fn has_observed(budget: &PodDisruptionBudget, generation: Option<i64>) -> bool {
    let status = budget.status.as_ref();
    status.and_then(|status| status.observed_generation) >= generation
}

/// What makes a pod protected or not; `pinned`: cluster autoscalers may move it neither way.
pub fn labelling(on: bool, pinned: bool) -> Value {
    let may_move = !on && !pinned;
    let mut annotations = json!({labels::SAFE_TO_EVICT: may_move.to_string()});
    if on && pinned {
        annotations[labels::PINNED] = "true".into();
    }
    json!({"metadata": {
        "labels": {labels::PROTECTED: on.then_some("true")},
        "annotations": annotations,
    }})
}
