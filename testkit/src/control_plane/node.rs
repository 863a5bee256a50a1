//! Nodes are objects that a test registers; the scheduler binds pods to them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, Pod, Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::ControlPlane;
use super::connection::until;

/// Marks the nodes of tests.
pub(super) const LABEL: &str = "maestro.test/node";
/// What the node-lifecycle controller puts on a node that does not say that it is ready.
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// A node that is ready and large, reached at 127.0.0.1.
#[derive(Clone, Debug)]
pub struct TestNode {
    pub(super) name: String,
    labels: BTreeMap<String, String>,
    resources: BTreeMap<String, Quantity>,
    addresses: Vec<NodeAddress>,
    dedicated: Option<String>,
}

impl TestNode {
    /// Tests that run at the same time on one control plane choose different names.
    pub fn new(name: &str) -> Self {
        let large = [("cpu", "64"), ("memory", "256Gi"), ("pods", "1000")];
        let node = Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            resources: BTreeMap::new(),
            addresses: Vec::new(),
            dedicated: None,
        };
        let node = node.label("kubernetes.io/hostname", name).label(LABEL, "");
        let resources = large.into_iter();
        resources.fold(node, |node, (resource, amount)| {
            node.allocatable(resource, amount)
        })
    }

    /// How much of a resource pods may request, such as `cpu`, `memory` or `pods`.
    #[must_use]
    pub fn allocatable(mut self, resource: &str, amount: &str) -> Self {
        self.resources
            .insert(resource.into(), Quantity(amount.into()));
        self
    }

    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Instead of the internal address 127.0.0.1; several are kept in their order. `kind` is `InternalIP`,
    /// `ExternalIP`, `Hostname`, `InternalDNS` or `ExternalDNS`.
    #[must_use]
    pub fn address(mut self, kind: &str, address: &str) -> Self {
        self.addresses.push(NodeAddress {
            type_: kind.into(),
            address: address.into(),
        });
        self
    }

    /// Only pods that tolerate `dedicated` with this value come here.
    #[must_use]
    pub fn dedicated(mut self, value: &str) -> Self {
        self.dedicated = Some(value.into());
        self
    }

    fn object(&self) -> Node {
        let mut addresses = self.addresses.clone();
        if addresses.is_empty() {
            addresses.push(NodeAddress {
                type_: "InternalIP".into(),
                address: "127.0.0.1".into(),
            });
        }
        let taint = |value: &String| Taint {
            key: "dedicated".into(),
            value: Some(value.clone()),
            effect: "NoSchedule".into(),
            time_added: None,
        };
        Node {
            spec: Some(NodeSpec {
                taints: self.dedicated.as_ref().map(|value| vec![taint(value)]),
                ..NodeSpec::default()
            }),
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(self.labels.clone()),
                ..ObjectMeta::default()
            },
            status: Some(NodeStatus {
                addresses: Some(addresses),
                allocatable: Some(self.resources.clone()),
                capacity: Some(self.resources.clone()),
                conditions: Some(vec![ready("True")]),
                ..NodeStatus::default()
            }),
        }
    }
}

fn ready(status: &str) -> NodeCondition {
    let now = Time(Timestamp::now());
    NodeCondition {
        type_: "Ready".into(),
        status: status.into(),
        reason: Some("Test".into()),
        message: Some("the test says so".into()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(now),
    }
}

impl ControlPlane {
    /// Registers nodes, and returns when pods can be bound to them.
    ///
    /// # Panics
    /// If one is refused, for example because there is one of its name.
    pub async fn register_nodes(&self, nodes: &[TestNode]) {
        let api: Api<Node> = Api::all(self.harness().await);
        for node in nodes {
            let created = api.create(&PostParams::default(), &node.object()).await;
            created.expect("a node");
        }
        // A new node has a taint until a controller has seen that it is ready.
        for node in nodes {
            until("the node may be used", async || {
                let seen = api.get(&node.name).await.expect("the node");
                let taints = seen.spec.and_then(|spec| spec.taints).unwrap_or_default();
                !self.has_controllers() || taints.iter().all(|taint| taint.key != NOT_READY)
            })
            .await;
        }
    }

    /// Registers one node.
    ///
    /// # Panics
    /// As [`Self::register_nodes`].
    pub async fn register_node(&self, node: &TestNode) {
        self.register_nodes(std::slice::from_ref(node)).await;
    }

    /// What the node says of itself: `True` and `False` come from a kubelet, `Unknown` is what controllers say when
    /// they hear nothing from it. Then they say as well that its pods are not ready.
    ///
    /// # Panics
    /// If there is no such node.
    pub async fn set_node_ready(&self, name: &str, status: &str) {
        let client = self.harness().await;
        say_ready(&client, name, status).await.expect("a node");
        if status != "Unknown" {
            return;
        }
        let there = ListParams::default().fields(&format!("spec.nodeName={name}"));
        let pods = Api::<Pod>::all(client.clone()).list(&there).await;
        let unready = Patch::Strategic(json!({"status": {"conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": Time(Timestamp::now())},
        ]}}));
        for pod in pods.expect("a list") {
            let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
            let by_default = PatchParams::default();
            // It may be gone by now.
            let _ = api
                .patch_status(&pod.name_any(), &by_default, &unready)
                .await;
        }
    }

    /// Takes the node's object away, as a cloud does with a machine that is gone.
    ///
    /// # Panics
    /// If there is no such node.
    pub async fn remove_node(&self, name: &str) {
        let api: Api<Node> = Api::all(self.harness().await);
        let removed = api.delete(name, &DeleteParams::default()).await;
        removed.expect("a node");
    }
}

/// Says in the name of a node's kubelet whether it is ready.
pub(crate) async fn say_ready(client: &Client, name: &str, status: &str) -> kube::Result<()> {
    let api: Api<Node> = Api::all(client.clone());
    let patch = json!({"status": {"conditions": [ready(status)]}});
    let patch = Patch::Strategic(patch);
    let by_default = PatchParams::default();
    let said = api.patch_status(name, &by_default, &patch).await;
    said.map(drop)
}
