//! Events of Kubernetes about rooms (contract 4.5, 4.8): what `kubectl describe pod` shows.

use super::client::Calls;
use super::limiter::Urgency;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use maestro_core::domain::{RemovalReason, RoomId, SchedulerName};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::task::TaskTracker;

/// The component that the Go Maestro names.
const COMPONENT: &str = "maestro-next";
/// Calls that may wait while events are still written. They are sent last, but those that wait take the places of calls
/// for rooms.
const CALLS_WAITING_MAX: usize = 200;

/// Writes events when nothing else is to be done; an event may be lost.
pub struct Events {
    calls: Calls,
    tasks: TaskTracker,
    is_refused: Arc<AtomicBool>,
}

impl Events {
    pub fn new(calls: Calls, tasks: TaskTracker) -> Self {
        Self {
            calls,
            tasks,
            is_refused: Arc::default(),
        }
    }

    /// A room is being removed.
    pub fn removed(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: String,
        reason: RemovalReason,
    ) {
        if self.calls.waiting() > CALLS_WAITING_MAX {
            return;
        }
        let event = removal(scheduler, room, uid, reason.as_str());
        let (calls, scheduler, refused) = (
            self.calls.clone(),
            scheduler.clone(),
            self.is_refused.clone(),
        );
        let write = async move {
            let of = scheduler.clone();
            let call = move |client| {
                let (of, event) = (of.clone(), event.clone());
                async move {
                    let events: Api<Event> = Api::namespaced(client, of.as_str());
                    events.create(&PostParams::default(), &event).await
                }
            };
            let written = calls.run(&scheduler, Urgency::Late, call).await;
            if written.is_err_and(|failure| failure.code() == 403)
                && !refused.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(
                    "this process may not create events; rooms are removed without them"
                );
            }
        };
        self.tasks.spawn_on(write, self.calls.io());
    }
}

fn removal(scheduler: &SchedulerName, room: &RoomId, uid: String, reason: &str) -> Event {
    let now = Timestamp::now();
    Event {
        metadata: ObjectMeta {
            // As other clients name them: unique by its time, so that a repeated call is refused rather than doubled.
            name: Some(format!("{room}.{:x}", now.as_nanosecond())),
            namespace: Some(scheduler.to_string()),
            ..Default::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(scheduler.to_string()),
            name: Some(room.to_string()),
            uid: Some(uid),
            ..Default::default()
        },
        type_: Some("Normal".to_owned()),
        reason: Some("GameRoomDeleted".to_owned()),
        message: Some(reason.to_owned()),
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            host: None,
        }),
        reporting_component: Some(COMPONENT.to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        ..Default::default()
    }
}
