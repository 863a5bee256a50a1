//! What the watch does not tell, and is asked for: addresses of nodes, and whether a pod is still there.

use super::client::{Calls, nodes, pods};
use super::dead::{Limits, health};
use super::index::Index;
use super::labels;
use super::limiter::Urgency;
use super::nodes::Asking;
use super::ports::RoomKey;
use super::seen::SeenPod;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use maestro_core::domain::SchedulerName;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Asks the API server, and tells the index. Cheap to clone.
#[derive(Clone)]
pub struct Lookup {
    pub index: Arc<Index>,
    pub calls: Calls,
    pub tasks: TaskTracker,
    pub stopping: CancellationToken,
    pub limits: Limits,
    pub asking: Arc<Asking>,
}

impl Lookup {
    /// Runs a task until it or this process ends.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        let task = async move {
            let _ = stopping.run_until_cancelled(task).await;
        };
        self.tasks.spawn_on(task, self.calls.io());
    }

    /// Asks for the nodes on which deleted pods do not end.
    pub fn ask_for_dead_nodes(&self) {
        for node in self.index.nodes_to_suspect() {
            let asking = self.clone();
            self.spawn(async move { asking.dead_node(node).await });
        }
    }

    async fn dead_node(&self, node: Arc<str>) {
        let name = node.clone();
        let call = move |client| {
            let name = name.clone();
            async move { nodes(client).get_opt(&name).await }
        };
        let found = self.calls.run(&"".into(), Urgency::Normal, call).await;
        let health = found.ok().map(|node| health(node.as_ref()));
        for ((scheduler, room), uid) in self.index.judge(&node, health, self.limits) {
            let (of, name) = (scheduler.clone(), room.to_string());
            let parameters = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: Some(uid),
                    resource_version: None,
                }),
                ..DeleteParams::default().grace_period(0)
            };
            let call = move |client| {
                let (of, name, parameters) = (of.clone(), name.clone(), parameters.clone());
                async move { pods(client, &of).delete(&name, &parameters).await }
            };
            // A pod that is still there afterwards is tried again with the next look at its node.
            if self
                .calls
                .run(&scheduler, Urgency::Urgent, call)
                .await
                .is_ok()
            {
                tracing::info!(
                    scheduler_name = %scheduler,
                    room_id = %room,
                    %node,
                    "deleted the pod by force, since its node is lost"
                );
            }
        }
    }

    /// Looks whether a pod exists that was created while a list was read.
    pub fn pod(&self, (scheduler, room): RoomKey) {
        let asking = self.clone();
        self.spawn(async move {
            let (of, name) = (scheduler.clone(), room.to_string());
            let call = move |client| {
                let (of, name) = (of.clone(), name.clone());
                async move { pods(client, &of).get_opt(&name).await }
            };
            let known = asking.index.uid(&scheduler, &room);
            let found = asking.calls.run(&scheduler, Urgency::Normal, call).await;
            match (found, known) {
                (Ok(None), Some(uid)) => asking.index.gone(&scheduler, &room, &uid, None),
                (Ok(Some(pod)), _) => {
                    if let Some(seen) = SeenPod::of(&pod) {
                        let _ = asking.index.apply(seen, true);
                    }
                }
                // The next list shows it.
                _ => {}
            }
        });
    }

    /// The version of the cluster's contents now; `None` if it cannot be had.
    pub fn version(&self, scope: Option<&SchedulerName>) -> JoinHandle<Option<u64>> {
        let (calls, scope) = (self.calls.clone(), scope.cloned());
        self.calls.io().spawn(async move {
            let of = scope.clone();
            let call = move |client| {
                let api: Api<Pod> = match &of {
                    Some(scheduler) => pods(client, scheduler),
                    None => Api::all(client),
                };
                async move {
                    let some = ListParams::default().labels(labels::OUR_PODS).limit(1);
                    api.list(&some).await
                }
            };
            let scheduler = scope.unwrap_or_else(|| "".into());
            let listed = calls.run(&scheduler, Urgency::Normal, call).await.ok()?;
            listed.metadata.resource_version?.parse().ok()
        })
    }
}
