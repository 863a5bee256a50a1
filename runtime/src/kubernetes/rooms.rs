//! Calls for the pod of a room: make it, end it, read its log.

use super::client::{Calls, Failure, pods};
use super::failure;
use super::index::Index;
use super::labels;
use super::limiter::Urgency;
use super::namespace::{Namespaces, is_missing};
use super::pod;
use super::seen::SeenPod;
use super::settings::KubernetesSettings;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, LogParams, PostParams, Preconditions};
use maestro_core::domain::{Instance, RoomId, SchedulerName};
use maestro_core::ports::{RoomOrder, RuntimeError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub struct Rooms {
    pub calls: Calls,
    pub index: Arc<Index>,
    pub namespaces: Namespaces,
    pub settings: KubernetesSettings,
}

impl Rooms {
    /// Makes the pod, or finds the one that an earlier try made.
    ///
    /// # Errors
    /// As the API server answers, with its words.
    pub async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        let spread = self.settings.topology_spread.as_ref();
        let pod = pod::of_room(order, spread, &self.settings.pod);
        let pod = Arc::new(pod.map_err(|text| RuntimeError::Invalid(text.into()))?);
        let mut created = self.post(order, pod.clone()).await;
        if created.as_ref().is_err_and(is_missing) {
            // Somebody removed the namespace; its scheduler exists.
            match self.namespaces.ensure(&order.scheduler.name, None).await {
                Err(RuntimeError::Terminating(cause)) => {
                    return Err(RuntimeError::Unavailable(cause));
                }
                ensured => ensured?,
            };
            created = self.post(order, pod.clone()).await;
        }
        let until = Instant::now() + ACCOUNT_WAIT;
        while created.as_ref().is_err_and(lacks_account) && Instant::now() < until {
            sleep(ACCOUNT_LOOK).await;
            created = self.post(order, pod.clone()).await;
        }
        let pod = match created {
            Ok(pod) => pod,
            Err(failure) if failure.code() == 409 => self.existing(order, Urgency::Normal).await?,
            // Quotas are looked at before names: that of an earlier try, whose answer was lost, counts. Its time runs.
            Err(failure) if is_quota_exceeded(&failure) => {
                match self.existing(order, Urgency::Urgent).await {
                    Ok(pod) => pod,
                    Err(_) => return Err(failure.into()),
                }
            }
            Err(failure) if is_missing(&failure) => return Err(unavailable(&failure)),
            Err(failure) => return Err(failure.into()),
        };
        let seen = SeenPod::of(&pod);
        let seen =
            seen.ok_or_else(|| RuntimeError::Unavailable("the new pod has no uid".into()))?;
        Ok(self.index.apply(seen, true))
    }

    async fn post(&self, order: &RoomOrder, pod: Arc<Pod>) -> Result<Pod, Failure> {
        let scheduler = order.scheduler.name.clone();
        let call = move |client| {
            let (scheduler, pod) = (scheduler.clone(), pod.clone());
            async move {
                let api = pods(client, &scheduler);
                api.create(&PostParams::default(), &pod).await
            }
        };
        self.calls
            .run(&order.scheduler.name, Urgency::Normal, call)
            .await
    }

    async fn existing(&self, order: &RoomOrder, urgency: Urgency) -> Result<Pod, RuntimeError> {
        let scheduler = &order.scheduler.name;
        let pod = self.get(scheduler, &order.room, urgency).await;
        let pod = match pod? {
            Some(pod) => pod,
            None => {
                return Err(RuntimeError::Unavailable(
                    "the pod of this name ended just now".into(),
                ));
            }
        };
        match pod.labels().get(labels::HERITAGE).map(String::as_str) {
            Some(labels::MAESTRO) => Ok(pod),
            _ => {
                let text = format!(
                    "a pod {} exists in the namespace {scheduler} that Maestro did not make",
                    order.room
                );
                // A room of another name can be made.
                Err(RuntimeError::Exhausted(text.into()))
            }
        }
    }

    /// The pod, if it exists.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn get(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        urgency: Urgency,
    ) -> Result<Option<Pod>, Failure> {
        let (of, name) = (scheduler.clone(), room.to_string());
        let call = move |client| {
            let (of, name) = (of.clone(), name.clone());
            async move { pods(client, &of).get_opt(&name).await }
        };
        self.calls.run(scheduler, urgency, call).await
    }

    /// Deletes the pod with the grace of its own (contract 4.8).
    ///
    /// # Errors
    /// `NotFound` if there is none, or only a namesake with another uid.
    pub async fn delete(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
    ) -> Result<(), RuntimeError> {
        let (of, name) = (scheduler.clone(), room.to_string());
        let parameters = DeleteParams {
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..Default::default()
        };
        let call = move |client| {
            let (of, name, parameters) = (of.clone(), name.clone(), parameters.clone());
            async move { pods(client, &of).delete(&name, &parameters).await }
        };
        match self.calls.run(scheduler, Urgency::Urgent, call).await {
            // A pod that is not bound is gone with the call; the watch tells both.
            Ok(_) => Ok(()),
            Err(failure) if failure.code() == 409 => Err(RuntimeError::NotFound),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The last lines of each container's log; with several containers each line begins with its container's name.
    ///
    /// # Errors
    /// `NotFound` without the pod, `Unavailable` if its node cannot be asked.
    pub async fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        lines: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        let pod = self.get(scheduler, room, Urgency::Normal).await?;
        let pod = pod.ok_or(RuntimeError::NotFound)?;
        let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
        let several = containers.len() > 1;
        let mut all = Vec::new();
        for container in containers {
            let text = self.log(scheduler, room, &container.name, lines).await?;
            let read = text.lines().map(|line| match several {
                true => format!("{}: {line}", container.name),
                false => line.to_owned(),
            });
            all.extend(read);
        }
        let skip = all.len().saturating_sub(lines);
        Ok(all.split_off(skip))
    }

    async fn log(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        container: &str,
        lines: usize,
    ) -> Result<String, RuntimeError> {
        let (of, name) = (scheduler.clone(), room.to_string());
        let parameters = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(i64::try_from(lines).unwrap_or(i64::MAX)),
            limit_bytes: Some(LOG_BYTES_MAX),
            ..Default::default()
        };
        let call = move |client| {
            let (of, name, parameters) = (of.clone(), name.clone(), parameters.clone());
            async move { pods(client, &of).logs(&name, &parameters).await }
        };
        match self.calls.run(scheduler, Urgency::Normal, call).await {
            Ok(text) => Ok(text),
            // It waits to start: it has said nothing yet.
            Err(failure) if failure.code() == 400 => Ok(String::new()),
            Err(failure) if failure.code() >= 500 => {
                let error = RuntimeError::from(failure);
                let text = format!("the node of room {room} cannot be asked for its log: {error}");
                Err(RuntimeError::Unavailable(text.into()))
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

/// A controller gives a new namespace its service account, which its pods need.
fn lacks_account(failure: &Failure) -> bool {
    match failure {
        Failure::Answer(kube::Error::Api(status)) => failure::is_account_missing(status),
        _ => false,
    }
}

fn is_quota_exceeded(failure: &Failure) -> bool {
    match failure {
        Failure::Answer(kube::Error::Api(status)) => failure::is_quota_exceeded(status),
        _ => false,
    }
}

/// How long a creation waits for that.
const ACCOUNT_WAIT: Duration = Duration::from_secs(5);
const ACCOUNT_LOOK: Duration = Duration::from_millis(50);
/// Of one container's log.
const LOG_BYTES_MAX: i64 = 1024 * 1024;

/// `NotFound` would say that the room does not exist, which is true of every room that is to be created.
fn unavailable(failure: &Failure) -> RuntimeError {
    let text = match failure {
        Failure::Answer(kube::Error::Api(status)) => status.message.clone(),
        _ => "the namespace does not exist".to_owned(),
    };
    RuntimeError::Unavailable(text.into())
}
