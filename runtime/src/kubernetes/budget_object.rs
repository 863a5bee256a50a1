//! The budget of a scheduler as the API server has it: how it is written, and what makes it ours.

use super::client::{Calls, Failure};
use super::labels;
use super::limiter::Urgency;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use maestro_core::domain::SchedulerName;
use serde_json::{Map, Value, json};

fn budgets(client: Client, scheduler: &SchedulerName) -> Api<PodDisruptionBudget> {
    Api::namespaced(client, scheduler.as_str())
}

/// The budget of a scheduler, if there is one.
///
/// # Errors
/// As the API server answers.
pub async fn find(
    calls: &Calls,
    scheduler: &SchedulerName,
    urgency: Urgency,
) -> Result<Option<PodDisruptionBudget>, Failure> {
    let of = scheduler.clone();
    let call = move |client| {
        let of = of.clone();
        async move { budgets(client, &of).get_opt(of.as_str()).await }
    };
    calls.run(scheduler, urgency, call).await
}

/// Writes these members of the budget.
///
/// # Errors
/// As the API server answers; 404 without a budget.
pub async fn patch(
    calls: &Calls,
    scheduler: &SchedulerName,
    urgency: Urgency,
    members: Value,
) -> Result<PodDisruptionBudget, Failure> {
    let (of, members) = (scheduler.clone(), Patch::Merge(members));
    let call = move |client| {
        let (of, members) = (of.clone(), members.clone());
        async move {
            let api = budgets(client, &of);
            api.patch(of.as_str(), &PatchParams::default(), &members)
                .await
        }
    };
    calls.run(scheduler, urgency, call).await
}

/// How the number of a budget is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raising {
    /// By [`raise`].
    Number,
    /// By [`repair`].
    Repair,
    /// The same, for the first time since the scheduler is ours.
    TakeOver,
}

/// Makes the number of a budget that is ours at least this one; the answer is its number then.
///
/// # Errors
/// As the API server answers; 404 without a budget.
pub async fn raise(calls: &Calls, scheduler: &SchedulerName, least: i32) -> Result<i32, Failure> {
    let members = json!({"spec": {"minAvailable": least}});
    let written = patch(calls, scheduler, Urgency::Urgent, members).await?;
    Ok(number_of(&written).unwrap_or(least))
}

/// As [`raise`], and makes the rest of it ours too, which somebody may have edited, and which differs in a budget of
/// the Go Maestro. `found` is what is there now. `takes_over`: something is written in any case; a number that the
/// owner before has sent, to a budget as it was then, is refused from now on.
///
/// # Errors
/// As the API server answers.
pub async fn repair(
    calls: &Calls,
    scheduler: &SchedulerName,
    least: i32,
    found: Option<PodDisruptionBudget>,
    takes_over: bool,
) -> Result<i32, Failure> {
    let Some(found) = found else {
        return create(calls, scheduler, least).await;
    };
    let members = match number_of(&found).filter(|number| *number >= least) {
        Some(number) if !takes_over => return Ok(number),
        Some(number) => json!({
            "metadata": {"annotations": {labels::RECOUNT: found.metadata.resource_version}},
            "spec": {"minAvailable": number},
        }),
        None => repairing(found, least),
    };
    match patch(calls, scheduler, Urgency::Urgent, members).await {
        Err(failure) if failure.code() == 404 => create(calls, scheduler, least).await,
        written => written.map(|budget| number_of(&budget).unwrap_or(least)),
    }
}

/// The outcome of [`lower`].
pub enum Lowered {
    To(i32),
    /// The disruption controller has not counted again yet.
    NotYet,
    /// The budget is not as it was written.
    ByAnother,
}

/// Lowers the number from `known` to `wanted`, or to what the disruption controller has counted if that is more.
/// Nothing is written when somebody else has written meanwhile.
///
/// # Errors
/// As the API server answers.
pub async fn lower(
    calls: &Calls,
    scheduler: &SchedulerName,
    known: i32,
    wanted: i32,
) -> Result<Lowered, Failure> {
    let Some(found) = find(calls, scheduler, Urgency::Urgent).await? else {
        return Ok(Lowered::ByAnother);
    };
    if number_of(&found) != Some(known) {
        return Ok(Lowered::ByAnother);
    }
    let counted = found.status.map(|status| status.expected_pods);
    let lower = counted.map(|counted| counted.max(wanted));
    let lower = lower.filter(|number| *number < known);
    let version = found.metadata.resource_version;
    let members = match lower {
        Some(number) => json!({
            "metadata": {"resourceVersion": version},
            "spec": {"minAvailable": number},
        }),
        // A pod that lost its label makes the controller count nothing, a change of the budget does.
        None => json!({"metadata": {"annotations": {labels::RECOUNT: version}}}),
    };
    match patch(calls, scheduler, Urgency::Urgent, members).await {
        Err(failure) if failure.code() == 409 => Ok(Lowered::NotYet),
        written => written.map(|_| lower.map_or(Lowered::NotYet, Lowered::To)),
    }
}

async fn create(calls: &Calls, scheduler: &SchedulerName, number: i32) -> Result<i32, Failure> {
    let new = json!({
        "metadata": {"name": scheduler.as_str(), "labels": {labels::MANAGED_BY: labels::MAESTRO}},
        "spec": {
            "minAvailable": number,
            "selector": {"matchLabels": {labels::PROTECTED: "true"}},
        },
    });
    let new: PodDisruptionBudget = serde_json::from_value(new)
        .map_err(|error| Failure::Answer(kube::Error::SerdeError(error)))?;
    let of = scheduler.clone();
    let call = move |client| {
        let (of, new) = (of.clone(), new.clone());
        async move {
            budgets(client, &of)
                .create(&PostParams::default(), &new)
                .await
        }
    };
    let created = match calls.run(scheduler, Urgency::Urgent, call).await {
        // Ours, by a call whose answer was lost.
        Err(failure) if failure.code() == 409 => find(calls, scheduler, Urgency::Urgent).await?,
        created => Some(created?),
    };
    Ok(created.as_ref().and_then(number_of).unwrap_or_default())
}

/// What makes a budget ours, whatever it selects. There is one budget over a pod: with that of the Go Maestro, which
/// selects all rooms, beside ours each eviction would be answered by an error.
fn repairing(found: PodDisruptionBudget, number: i32) -> Value {
    let spec = found.spec.unwrap_or_default();
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
    json!({
        "metadata": {"labels": {labels::MANAGED_BY: labels::MAESTRO}},
        "spec": {
            "minAvailable": number,
            "maxUnavailable": null,
            "selector": {"matchLabels": wanted, "matchExpressions": null},
        },
    })
}

/// The number of a budget; `None` for one that is not as we write it.
fn number_of(budget: &PodDisruptionBudget) -> Option<i32> {
    let spec = budget.spec.as_ref().filter(|_| is_ours(budget))?;
    // The API server takes no budget with both kinds of numbers.
    match &spec.min_available {
        Some(IntOrString::Int(number)) => Some(*number),
        _ => None,
    }
}

/// Whether it says that a Maestro made it, or made it its own.
pub fn is_marked(found: &PodDisruptionBudget) -> bool {
    let owner = found.metadata.labels.as_ref();
    let owner = owner.and_then(|labels| labels.get(labels::MANAGED_BY));
    owner.is_some_and(|owner| owner == labels::MAESTRO)
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
