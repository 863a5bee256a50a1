//! Tells the pods apart: each has a task of its own, which hears of changes of its object and of its node.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::control_plane::say_ready;

use super::news::{News, NodeState};
use super::pod::Worker;
use super::shared::Shared;

/// As that of a real kubelet.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a watch that failed waits.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The pods of a kubelet's nodes.
pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nodes: HashMap<String, NodeState>,
    /// By uid.
    pods: HashMap<String, watch::Sender<News>>,
    /// The last uid of a pod, also when it is gone: its log stays.
    uids: HashMap<(String, String), String>,
}

impl Dispatcher {
    pub(super) fn new(shared: Shared, nodes: &[String]) -> Self {
        let nodes = nodes.iter().map(|node| (node.clone(), NodeState::Up));
        let state = State {
            nodes: nodes.collect(),
            ..State::default()
        };
        Self {
            shared: Arc::new(shared),
            state: Mutex::new(state),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn uid(&self, namespace: &str, pod: &str) -> Option<String> {
        let key = (namespace.to_owned(), pod.to_owned());
        self.state.lock().uids.get(&key).cloned()
    }

    /// Tells the pods of a node what has become of it.
    pub(super) fn set(&self, node: &str, becomes: NodeState) {
        let mut state = self.state.lock();
        let known = state.nodes.get_mut(node).expect("a node of this kubelet");
        *known = becomes;
        for news in state.pods.values() {
            news.send_if_modified(|news| {
                let is_its_own = node_of(&news.pod) == Some(node);
                if is_its_own {
                    news.node = becomes;
                }
                is_its_own
            });
        }
        // They hear of their end now.
        state.pods.retain(|_, news| !news.borrow().is_last());
    }

    /// Ends all processes and tasks.
    pub(super) fn stop(&self) {
        self.state.lock().pods.clear();
        self.shared.groups.kill_all();
    }

    /// Watches the pods of its nodes. A cluster that is not the tests' own hears of the nodes meanwhile, and would
    /// take them for lost otherwise.
    pub(super) async fn run(self: Arc<Self>, has_heartbeats: bool) {
        if has_heartbeats {
            tokio::join!(self.watch(), self.beat());
        } else {
            self.watch().await;
        }
    }

    async fn beat(&self) {
        loop {
            let nodes = self.state.lock().nodes.clone();
            for (node, _) in nodes.iter().filter(|(_, state)| **state == NodeState::Up) {
                // It may not be registered any more, and the next one comes soon.
                let _ = say_ready(&self.shared.client, node, "True").await;
            }
            sleep(HEARTBEAT).await;
        }
    }

    async fn watch(&self) {
        let nodes = self.state.lock().nodes.keys().cloned().collect::<Vec<_>>();
        let fields = match &nodes[..] {
            [only] => format!("spec.nodeName={only}"),
            _ => "spec.nodeName!=".to_owned(),
        };
        let pods: Api<Pod> = Api::all(self.shared.client.clone());
        let own = watcher::Config::default().fields(&fields);
        // After a failure it lists anew: the watcher would go on at a version that a restored cluster has not reached.
        loop {
            let mut events = std::pin::pin!(watcher(pods.clone(), own.clone()));
            let mut listed = HashSet::new();
            while let Some(Ok(event)) = events.next().await {
                match event {
                    Event::Init => listed.clear(),
                    Event::InitApply(pod) => {
                        listed.insert(pod.uid().unwrap_or_default());
                        self.changed(pod);
                    }
                    Event::InitDone => self.gone(|uid| !listed.contains(uid)),
                    Event::Apply(pod) => self.changed(pod),
                    Event::Delete(pod) => {
                        let deleted = pod.uid().unwrap_or_default();
                        self.gone(|uid| *uid == deleted);
                    }
                }
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    fn changed(&self, pod: Pod) {
        let uid = pod.uid().unwrap_or_default();
        let key = (pod.namespace().unwrap_or_default(), pod.name_any());
        let mut state = self.state.lock();
        let node = node_of(&pod).and_then(|node| state.nodes.get(node).copied());
        // The pods that a cluster of kind or k3d wants on every node are none of ours.
        let is_of_cluster = pod
            .owner_references()
            .iter()
            .any(|by| by.kind == "DaemonSet");
        let (Some(node), false) = (node, is_of_cluster) else {
            return;
        };
        let is_deleted = pod.metadata.deletion_timestamp.is_some();
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
        let pod = Arc::new(pod);
        if let Some(news) = state.pods.get(&uid) {
            news.send_modify(|news| news.pod = pod);
            return;
        }
        // It ended under an earlier kubelet.
        if has_ended && !is_deleted {
            return;
        }
        let first = News {
            pod,
            node,
            is_gone: false,
        };
        let (news, heard) = watch::channel(first);
        state.uids.insert(key, uid.clone());
        state.pods.insert(uid, news);
        tokio::spawn(Worker::new(Arc::clone(&self.shared), heard).run());
    }

    /// The task of a pod ends by itself. A node that is cut off hears of it later.
    fn gone(&self, is_gone: impl Fn(&String) -> bool) {
        self.state.lock().pods.retain(|uid, news| {
            if is_gone(uid) {
                news.send_modify(|news| news.is_gone = true);
            }
            !news.borrow().is_last()
        });
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}
