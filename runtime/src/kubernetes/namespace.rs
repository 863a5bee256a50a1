//! The namespace of a scheduler (contract 4.9, D17).

use super::budget_object::{self, is_marked};
use super::client::{Calls, Failure, namespaces, pods};
use super::failure::is_namespace_terminating;
use super::labels;
use super::limiter::Urgency;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use maestro_core::domain::{OperationId, SchedulerName};
use maestro_core::ports::RuntimeError;
use std::collections::BTreeMap;

/// Makes and removes namespaces.
#[derive(Clone)]
pub struct Namespaces {
    calls: Calls,
    pod_security: Option<String>,
}

/// What became of the order to make a namespace.
pub enum Made {
    /// It is there; `by_operation`: the operation made it, now or by an earlier call.
    Ours { by_operation: bool },
    /// One of this name is not ours.
    Foreign,
    /// One of this name is still being removed: what is waited for, in words.
    Terminating(String),
}

/// What a name stands for in the cluster.
enum Found {
    Nothing,
    Ours(Seen),
    /// Made by the Go Maestro: it has no label yet.
    Adoptable(Seen),
    Terminating(Seen),
    Foreign,
}

/// A namespace that is there.
struct Seen {
    uid: Option<String>,
    /// The operation that made it.
    made_by: Option<String>,
    /// What its removal waits for, as far as the cluster says so.
    blocked: Option<String>,
}

impl Seen {
    fn is_made_by(&self, operation: OperationId) -> bool {
        self.made_by.as_deref() == Some(operation.to_string().as_str())
    }
}

impl Namespaces {
    pub fn new(calls: Calls, pod_security: Option<String>) -> Self {
        Self {
            calls,
            pod_security,
        }
    }

    /// Makes the namespace, or adopts the one that is ours; true: `operation` made it, now or by an earlier call.
    ///
    /// # Errors
    /// `Invalid` if a namespace of this name is foreign, `Terminating` if one is still being removed.
    pub async fn ensure(
        &self,
        scheduler: &SchedulerName,
        operation: Option<OperationId>,
    ) -> Result<bool, RuntimeError> {
        match self.made(scheduler, operation).await? {
            Made::Ours { by_operation } => Ok(by_operation),
            Made::Foreign => Err(RuntimeError::Invalid(foreign_text(scheduler).into())),
            Made::Terminating(text) => Err(RuntimeError::Terminating(text.into())),
        }
    }

    /// As [`Self::ensure`], with each outcome by itself.
    pub async fn made(
        &self,
        scheduler: &SchedulerName,
        operation: Option<OperationId>,
    ) -> Result<Made, Failure> {
        match self.create(scheduler, operation).await {
            Ok(()) => return Ok(Made::Ours { by_operation: true }),
            Err(failure) if failure.code() == 409 => {}
            Err(failure) => return Err(failure),
        }
        Ok(match self.find(scheduler, Urgency::Normal).await? {
            Found::Ours(seen) => Made::Ours {
                by_operation: operation.is_some_and(|operation| seen.is_made_by(operation)),
            },
            Found::Adoptable(_) => {
                self.adopt(scheduler).await?;
                Made::Ours {
                    by_operation: false,
                }
            }
            Found::Foreign => Made::Foreign,
            // It may have gone between the two calls.
            Found::Nothing => Made::Terminating(terminating_text(scheduler, None)),
            Found::Terminating(seen) => {
                Made::Terminating(terminating_text(scheduler, seen.blocked.as_deref()))
            }
        })
    }

    /// Removes the namespace with everything in it, or only the one that `made_by` made. A foreign one stays.
    ///
    /// # Errors
    /// `Terminating` if it is not gone yet.
    pub async fn remove(
        &self,
        scheduler: &SchedulerName,
        made_by: Option<OperationId>,
    ) -> Result<(), RuntimeError> {
        let is_meant = |seen: &Seen| made_by.is_none_or(|operation| seen.is_made_by(operation));
        match self.find(scheduler, Urgency::Normal).await? {
            Found::Nothing => Ok(()),
            Found::Foreign => {
                tracing::warn!(
                    scheduler_name = %scheduler,
                    "the namespace stays, since Maestro did not make it; remove it by hand"
                );
                Ok(())
            }
            Found::Ours(seen) | Found::Adoptable(seen) if is_meant(&seen) => {
                self.delete(scheduler, seen.uid).await?;
                Err(terminating(scheduler, None))
            }
            Found::Terminating(seen) if is_meant(&seen) => {
                Err(terminating(scheduler, seen.blocked.as_deref()))
            }
            Found::Ours(_) | Found::Adoptable(_) | Found::Terminating(_) => Ok(()),
        }
    }

    async fn create(
        &self,
        scheduler: &SchedulerName,
        operation: Option<OperationId>,
    ) -> Result<(), Failure> {
        let mut all = self.labels_of(scheduler);
        if let Some(level) = &self.pod_security {
            all.insert(labels::POD_SECURITY.to_owned(), level.clone());
        }
        let made_by = operation.map(|id| (labels::MADE_BY.to_owned(), id.to_string()));
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(scheduler.to_string()),
                labels: Some(all),
                annotations: made_by.map(|made_by| [made_by].into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let call = move |client| {
            let namespace = namespace.clone();
            async move {
                let api = namespaces(client);
                api.create(&PostParams::default(), &namespace).await
            }
        };
        let created = self.calls.run(scheduler, Urgency::Normal, call).await;
        created.map(|_| ())
    }

    fn labels_of(&self, scheduler: &SchedulerName) -> BTreeMap<String, String> {
        let all = [
            (labels::HERITAGE, labels::MAESTRO),
            (labels::MANAGED_BY, labels::MAESTRO),
            (labels::SCHEDULER, scheduler.as_str()),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// Whether there is one of this name that is not ours, so that nothing is to be written in it.
    pub async fn is_foreign(
        &self,
        scheduler: &SchedulerName,
        urgency: Urgency,
    ) -> Result<bool, Failure> {
        let found = self.find(scheduler, urgency).await?;
        Ok(matches!(found, Found::Foreign))
    }

    async fn find(&self, scheduler: &SchedulerName, urgency: Urgency) -> Result<Found, Failure> {
        let name = scheduler.to_string();
        let call = move |client| {
            let name = name.clone();
            async move { namespaces(client).get_opt(&name).await }
        };
        let found = self.calls.run(scheduler, urgency, call).await?;
        let Some(namespace) = found else {
            return Ok(Found::Nothing);
        };
        let seen = Seen {
            uid: namespace.uid(),
            made_by: namespace.annotations().get(labels::MADE_BY).cloned(),
            blocked: blocked(&namespace),
        };
        if namespace.metadata.deletion_timestamp.is_some() {
            return Ok(Found::Terminating(seen));
        }
        let owner = namespace.labels().get(labels::MANAGED_BY);
        if owner.is_some_and(|owner| owner == labels::MAESTRO) {
            return Ok(Found::Ours(seen));
        }
        match self.has_rooms_or_budget(scheduler, urgency).await? {
            true => Ok(Found::Adoptable(seen)),
            false => Ok(Found::Foreign),
        }
    }

    /// What the Go Maestro leaves in a namespace of its own, which has no label.
    async fn has_rooms_or_budget(
        &self,
        scheduler: &SchedulerName,
        urgency: Urgency,
    ) -> Result<bool, Failure> {
        let of = scheduler.clone();
        let call = move |client| {
            let of = of.clone();
            async move {
                let selector = format!("{},{}={of}", labels::OUR_PODS, labels::SCHEDULER);
                let some = ListParams::default().labels(&selector).limit(1);
                pods(client, &of).list(&some).await
            }
        };
        let found = self.calls.run(scheduler, urgency, call).await?;
        if !found.items.is_empty() {
            return Ok(true);
        }
        // With the rights of the Go Maestro's documents alone, budgets cannot be read.
        match budget_object::find(&self.calls, scheduler, urgency).await {
            Err(failure) if failure.code() == 403 => Ok(false),
            budget => Ok(budget?.is_some_and(|budget| is_marked(&budget))),
        }
    }

    async fn adopt(&self, scheduler: &SchedulerName) -> Result<(), Failure> {
        let name = scheduler.to_string();
        let patch = serde_json::json!({"metadata": {"labels": self.labels_of(scheduler)}});
        let call = move |client| {
            let (name, patch) = (name.clone(), Patch::Merge(patch.clone()));
            async move {
                let api = namespaces(client);
                api.patch(&name, &PatchParams::default(), &patch).await
            }
        };
        self.calls.run(scheduler, Urgency::Normal, call).await?;
        tracing::info!(scheduler_name = %scheduler, "adopted the namespace that an earlier Maestro made");
        Ok(())
    }

    async fn delete(
        &self,
        scheduler: &SchedulerName,
        uid: Option<String>,
    ) -> Result<(), RuntimeError> {
        let name = scheduler.to_string();
        let call = move |client| {
            let (name, uid) = (name.clone(), uid.clone());
            async move {
                let parameters = DeleteParams {
                    preconditions: uid.map(|uid| Preconditions {
                        uid: Some(uid),
                        resource_version: None,
                    }),
                    ..Default::default()
                };
                namespaces(client).delete(&name, &parameters).await
            }
        };
        match self.calls.run(scheduler, Urgency::Urgent, call).await {
            // Gone, being removed, or another one of this name: the next look shows which.
            Err(failure) if [404, 409].contains(&failure.code()) => Ok(()),
            deleted => Ok(deleted.map(|_| ())?),
        }
    }
}

fn terminating(scheduler: &SchedulerName, blocked: Option<&str>) -> RuntimeError {
    RuntimeError::Terminating(terminating_text(scheduler, blocked).into())
}

/// What the caller waits for.
fn terminating_text(scheduler: &SchedulerName, blocked: Option<&str>) -> String {
    let blocked = blocked.map_or_else(String::new, |blocked| format!(": {blocked}"));
    format!("the namespace {scheduler} is still being removed by Kubernetes{blocked}")
}

/// Finalizers of a namespace that is to go, and what its controller says of its contents.
fn blocked(namespace: &Namespace) -> Option<String> {
    let held = namespace.finalizers().join(", ");
    let held = (!held.is_empty()).then(|| format!("it has the finalizers {held}"));
    let status = namespace.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let remains = conditions.unwrap_or_default().iter();
    let remains = remains.filter(|condition| condition.status == "True");
    let texts = remains.filter_map(|condition| condition.message.clone());
    let all: Vec<String> = held.into_iter().chain(texts).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Why the name cannot be used, and what to do.
pub fn foreign_text(scheduler: &SchedulerName) -> String {
    format!(
        "the namespace {scheduler} exists and Maestro did not make it; choose another name for the scheduler, or \
         label the namespace {}={} to hand it over",
        labels::MANAGED_BY,
        labels::MAESTRO
    )
}

/// Whether a call failed because its namespace does not exist or is being removed.
pub fn is_missing(failure: &Failure) -> bool {
    match failure {
        Failure::Answer(kube::Error::Api(status)) => {
            status.code == 404 || is_namespace_terminating(status)
        }
        _ => false,
    }
}
