//! The budget of a scheduler as the API server has it: how it is written, and what makes it ours.

use super::labels;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use maestro_core::domain::SchedulerName;
use serde_json::{Map, Value, json};

/// The budgets of a scheduler's namespace.
pub fn budgets(client: Client, scheduler: &SchedulerName) -> Api<PodDisruptionBudget> {
    Api::namespaced(client, scheduler.as_str())
}

/// Makes the number of the budget at least this one; the answer is its number then. `repair`: the rest of it too.
pub async fn raise(
    client: Client,
    scheduler: SchedulerName,
    least: i32,
    repair: bool,
) -> kube::Result<i32> {
    let (api, name) = (budgets(client, &scheduler), scheduler.as_str());
    let mut patch = json!({"spec": {"minAvailable": least}});
    if repair {
        let Some(found) = api.get_opt(name).await? else {
            return create(&api, name, least).await;
        };
        match number_of(&found) {
            Some(number) if number >= least => return Ok(number),
            _ => patch = repairing(found, least),
        }
    }
    let merged = Patch::Merge(&patch);
    match api.patch(name, &PatchParams::default(), &merged).await {
        Err(kube::Error::Api(status)) if status.code == 404 => create(&api, name, least).await,
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
pub async fn lower(
    client: Client,
    scheduler: SchedulerName,
    known: i32,
    wanted: i32,
) -> kube::Result<Lowered> {
    let (api, name) = (budgets(client, &scheduler), scheduler.as_str());
    let Some(found) = api.get_opt(name).await? else {
        return Ok(Lowered::ByAnother);
    };
    if number_of(&found) != Some(known) {
        return Ok(Lowered::ByAnother);
    }
    let counted = found.status.map(|status| status.expected_pods);
    let lower = counted.map(|counted| counted.max(wanted));
    let lower = lower.filter(|number| *number < known);
    let version = found.metadata.resource_version;
    let patch = match lower {
        Some(number) => json!({
            "metadata": {"resourceVersion": version},
            "spec": {"minAvailable": number},
        }),
        // A pod that lost its label makes the controller count nothing, a change of the budget does.
        None => json!({"metadata": {"annotations": {labels::RECOUNT: version}}}),
    };
    let merged = Patch::Merge(&patch);
    match api.patch(name, &PatchParams::default(), &merged).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Lowered::NotYet),
        written => written.map(|_| lower.map_or(Lowered::NotYet, Lowered::To)),
    }
}

async fn create(api: &Api<PodDisruptionBudget>, name: &str, number: i32) -> kube::Result<i32> {
    let new = json!({
        "metadata": {"name": name, "labels": {labels::MANAGED_BY: labels::MAESTRO}},
        "spec": {
            "minAvailable": number,
            "selector": {"matchLabels": {labels::PROTECTED: "true"}},
        },
    });
    let new = serde_json::from_value(new).map_err(kube::Error::SerdeError)?;
    let created = match api.create(&PostParams::default(), &new).await {
        // Ours, by a call whose answer was lost.
        Err(kube::Error::Api(status)) if status.code == 409 => api.get(name).await,
        created => created,
    };
    created.map(|budget| number_of(&budget).unwrap_or_default())
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
    match &spec.min_available {
        Some(IntOrString::Int(number)) if spec.max_unavailable.is_none() => Some(*number),
        _ => None,
    }
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
