//! The recorded installation of the original, with its pods, is taken over in the middle of its work and handed back.

use crate::recording;
use crate::served::SERVED;
use crate::site::{ZONE, is_protected};
use crate::support::stores::Stores;
use crate::support::{BINARY, Home, Maestro, eventually, seconds};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use maestro_testkit::control_plane::{ControlPlane, Shared, TestNode};
use maestro_testkit::kubelet::Kubelet;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

const OBJECTS: &str = include_str!("../takeover/busy/pods.json");
const NODES: &str = include_str!("../takeover/busy/nodes.json");
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
/// Whose validation nobody waits for any more.
const VALIDATION_ROOM: &str = "raid-z7mc4";

/// The installation, on a control plane and on stores of its own.
struct Busy {
    plane: Shared,
    client: Client,
    stores: Stores,
    _kubelet: Kubelet,
}

/// Each pod's uid, by namespace and name.
type Uids = BTreeMap<(String, String), String>;

fn objects(kind: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(OBJECTS).expect("JSON");
    all.into_iter().filter(|one| one["kind"] == kind).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Without what the API server adds.
fn bare<T: DeserializeOwned>(recorded: &Value) -> T {
    let (meta, mut spec) = (&recorded["metadata"], recorded["spec"].clone());
    let members = spec.as_object_mut().expect("a spec");
    members.remove("volumes");
    for container in members
        .get_mut("containers")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        container
            .as_object_mut()
            .expect("a container")
            .remove("volumeMounts");
    }
    let bare = json!({
        "metadata": {"name": meta["name"], "labels": meta["labels"], "annotations": meta["annotations"]},
        "spec": spec,
    });
    serde_json::from_value(bare).expect("an object")
}

impl Busy {
    async fn make() -> Option<Self> {
        let plane = ControlPlane::shared().await?;
        let stores = Stores::start().await?;
        recording::fill(&stores.postgres, &stores.redis);
        let nodes: Vec<Value> = serde_json::from_str(NODES).expect("JSON");
        let registered = nodes.iter().map(|recorded| {
            let node = TestNode::new(text(&recorded["metadata"]["name"])).label(ZONE, "one");
            let addresses = recorded["status"]["addresses"].as_array().expect("a list");
            addresses.iter().fold(node, |node, one| {
                node.address(text(&one["type"]), text(&one["address"]))
            })
        });
        plane.register_nodes(&registered.collect::<Vec<_>>()).await;
        let names: Vec<&str> = nodes
            .iter()
            .map(|node| text(&node["metadata"]["name"]))
            .collect();
        let kubelet = Kubelet::of(&plane, &names).await;
        let busy = Self {
            _kubelet: kubelet.status_only(Duration::ZERO).start(),
            client: plane.client().await,
            plane,
            stores,
        };
        busy.fill_cluster().await;
        Some(busy)
    }

    async fn fill_cluster(&self) {
        let new = PostParams::default();
        for recorded in objects("Namespace") {
            let namespace: Namespace = bare(&recorded);
            let created = Api::all(self.client.clone()).create(&new, &namespace).await;
            created.expect("a namespace");
        }
        for recorded in objects("PodDisruptionBudget") {
            let name = text(&recorded["metadata"]["namespace"]);
            let budget: PodDisruptionBudget = bare(&recorded);
            let created = self
                .of::<PodDisruptionBudget>(name)
                .create(&new, &budget)
                .await;
            created.expect("a budget");
        }
        for recorded in objects("Pod") {
            let name = text(&recorded["metadata"]["namespace"]);
            // A controller makes the account that its pods need.
            let has_account = || async {
                let accounts = self.of::<ServiceAccount>(name);
                accounts
                    .get_opt("default")
                    .await
                    .expect("an answer")
                    .is_some()
            };
            assert!(eventually(seconds(30), has_account).await);
            let pod: Pod = bare(&recorded);
            self.of::<Pod>(name)
                .create(&new, &pod)
                .await
                .expect("a pod");
        }
        let are_ready = || async {
            let pods = self.pods().await.into_values().flatten();
            let mut phases = pods.map(|pod| pod.status.and_then(|status| status.phase));
            phases.all(|phase| phase.as_deref() == Some("Running"))
        };
        assert!(eventually(seconds(30), are_ready).await);
    }

    fn of<T>(&self, namespace: &str) -> Api<T>
    where
        T: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// All of its pods, by namespace.
    async fn pods(&self) -> BTreeMap<String, Vec<Pod>> {
        let mut all = BTreeMap::new();
        for name in ["arena-eu", "empty", "lobby", "newborn", "raid", "ranges"] {
            let listed = self.of::<Pod>(name).list(&ListParams::default()).await;
            all.insert(name.to_owned(), listed.expect("a list").items);
        }
        all
    }

    async fn uids(&self) -> Uids {
        let of = |pod: &Pod| {
            let key = (pod.namespace().expect("its namespace"), pod.name_any());
            (key, pod.uid().expect("its uid"))
        };
        self.pods().await.values().flatten().map(of).collect()
    }

    /// Waits until a namespace has so many pods, and none that ends.
    async fn until_pods(&self, namespace: &str, count: usize) {
        let as_many = || async {
            let pods = &self.pods().await[namespace];
            let ends = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
            pods.len() == count && !pods.iter().any(ends)
        };
        let came = eventually(seconds(30), as_many).await;
        assert!(came, "{namespace}: {:?}", self.uids().await);
    }

    fn environment(&self) -> Vec<(String, String)> {
        let kubeconfig = self.plane.kubeconfig().display().to_string();
        let mut all = self.stores.environment();
        let cluster = [
            ("MAESTRO_RUNTIME_TYPE", "kubernetes"),
            (
                "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG",
                &kubeconfig,
            ),
        ];
        all.extend(cluster.map(|(key, value)| (key.to_owned(), value.to_owned())));
        all
    }

    /// An operation has this status, as the contract numbers it (8.2).
    async fn until_operation(&self, scheduler: &str, id: &str, status: &str) {
        let key = format!("operations:{scheduler}:{id}");
        let mut seen = String::new();
        let until = std::time::Instant::now() + seconds(30);
        while seen != status {
            let in_time = std::time::Instant::now() < until;
            assert!(
                in_time,
                "{scheduler}: operation {id} is {seen}, not {status}"
            );
            seen = self.stores.redis.texts(&["HGET", &key, "status"]).concat();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn state(&self, scheduler: &str) -> String {
        let sql = format!("SELECT state FROM schedulers WHERE name = '{scheduler}'");
        self.stores.postgres.ask(&sql).concat()
    }

    fn status(&self, scheduler: &str, room: &str) -> String {
        let key = format!("scheduler:{scheduler}:status");
        self.stores.redis.texts(&["ZSCORE", &key, room]).concat()
    }

    /// The labels that a budget selects, and its number.
    async fn budget(&self, name: &str) -> (Vec<String>, Value) {
        let budget = self.of::<PodDisruptionBudget>(name).get(name).await;
        let spec = budget.expect("a budget").spec.expect("its spec");
        let selected = spec.selector.and_then(|selector| selector.match_labels);
        let selected = selected.into_iter().flatten();
        let number = serde_json::to_value(spec.min_available).expect("JSON");
        (
            selected
                .map(|(label, value)| format!("{label}={value}"))
                .collect(),
            number,
        )
    }

    async fn protected(&self, namespace: &str) -> Vec<String> {
        let pods = &self.pods().await[namespace];
        let protected = pods.iter().filter(|pod| is_protected(pod));
        protected.map(ResourceExt::name_any).collect()
    }
}

/// The uids of all pods that are to stay.
fn kept(mut before: Uids) -> Uids {
    let gone = before.remove(&("raid".to_owned(), VALIDATION_ROOM.to_owned()));
    assert!(gone.is_some());
    before
}

fn expect_kept(kept: &Uids, now: &Uids) {
    for (pod, uid) in kept {
        assert_eq!(now.get(pod), Some(uid), "{pod:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_installation_is_taken_over_with_its_pods_and_handed_back() {
    let Some(busy) = Busy::make().await else {
        return;
    };
    let kept = kept(busy.uids().await);
    let home = Home::new();
    let environment = busy.environment();
    let maestro = home.start_with(&crate::site::borrowed(&environment));
    healed(&busy).await;
    rooms_are_kept(&busy, &kept).await;
    served(&busy, &maestro).await;
    rooms_are_kept(&busy, &kept).await;
    let last = busy.uids().await;
    assert!(maestro.stop().success());
    handed_back(&busy, &environment).await;
    assert_eq!(busy.uids().await, last);
}

/// As the README of the recording says.
async fn healed(busy: &Busy) {
    let version = "8302ca63-6a9e-4f5b-8d42-596d49faa6c4";
    busy.until_operation("raid", version, "5").await;
    let test = "93daa6b8-45ea-4848-bcfa-806378795244";
    busy.until_operation("ranges", test, "5").await;
    let edit = "36f5ba0f-1e8f-4f60-ae9d-0a435349d064";
    busy.until_operation("ranges", edit, "3").await;
    let edit = "06c67617-6aff-4da9-9b2a-2be5b1a4bbce";
    busy.until_operation("arena-eu", edit, "3").await;
    // Of arena-eu its policy decides: the edit made a version, and no room.
    for (namespace, pods) in [
        ("arena-eu", 5),
        ("lobby", 4),
        ("raid", 3),
        ("ranges", 4),
        ("newborn", 2),
    ] {
        busy.until_pods(namespace, pods).await;
    }
    let is_gone = || async {
        let namespaces: Api<Namespace> = Api::all(busy.client.clone());
        namespaces
            .get_opt("empty")
            .await
            .expect("an answer")
            .is_none()
    };
    assert!(eventually(seconds(30), is_gone).await, "empty is there");
    for name in ["raid", "newborn"] {
        let is_in_sync = || async { busy.state(name) == "in-sync" };
        assert!(eventually(seconds(30), is_in_sync).await, "{name}");
    }
    let leftovers = || async {
        let entry = ["HEXISTS", "scheduler:raid:podMap", "raid-leftover"];
        let ghost = ["EXISTS", "scheduler:lobby:rooms:lobby-ghost"];
        [&entry[..], &ghost].map(|question| busy.stores.redis.texts(question)) == [["0"], ["0"]]
    };
    assert!(eventually(seconds(30), leftovers).await);
    for (scheduler, room, status) in SERVED {
        assert_eq!(busy.status(scheduler, room), status, "{room}");
    }
}

async fn rooms_are_kept(busy: &Busy, kept: &Uids) {
    let now = busy.uids().await;
    expect_kept(kept, &now);
    assert!(!now.contains_key(&("raid".to_owned(), VALIDATION_ROOM.to_owned())));
}

async fn served(busy: &Busy, maestro: &Maestro) {
    let (status, given) = maestro.allocate("lobby").await;
    let (room, host) = (&given["roomId"], &given["host"]);
    assert_eq!(
        (status, room, host),
        (200, &json!("lobby-zdr6l"), &json!("10.0.0.10")),
        "{given}"
    );
    // Budgets are ours, and protect those in which somebody plays.
    let ours = || async {
        let (selected, number) = busy.budget("lobby").await;
        let protected = busy.protected("lobby").await;
        selected == ["maestro-protected=true"] && number == protected.len() && protected.len() == 4
    };
    let came = eventually(seconds(20), ours).await;
    assert!(
        came,
        "{:?} {:?}",
        busy.budget("lobby").await,
        busy.protected("lobby").await
    );
    let protected = busy.protected("arena-eu").await;
    assert!(
        protected.contains(&"arena-eu-52jhv".to_owned()),
        "{protected:?}"
    );
    busy.until_pods("lobby", 5).await;
    let edit = json!({"roomsReplicas": 4});
    let answer = maestro.patch("/schedulers/raid", &edit).await;
    maestro.done("raid", answer).await;
    busy.until_pods("raid", 4).await;
}

async fn handed_back(busy: &Busy, environment: &[(String, String)]) {
    let mut doctor = Command::new(BINARY);
    let doctor = doctor
        .args(["doctor", "hand-back"])
        .envs(environment.iter().cloned());
    // A renewal that was under way when the node ended counts for three more seconds, as it says.
    let until = Instant::now() + seconds(10);
    let output = loop {
        let output = doctor.output().expect("the binary starts");
        let still_runs = String::from_utf8_lossy(&output.stderr).contains("nodes still run");
        if !still_runs || Instant::now() > until {
            break output;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("5 disruption budgets select all rooms"),
        "{said}"
    );
    for (name, number) in [
        ("arena-eu", 4),
        ("lobby", 4),
        ("raid", 3),
        ("ranges", 3),
        ("newborn", 1),
    ] {
        let theirs = (vec![format!("maestro-scheduler={name}")], json!(number));
        assert_eq!(busy.budget(name).await, theirs, "{name}");
    }
    for pod in busy.pods().await.values().flatten() {
        let safe = pod.annotations().get(SAFE_TO_EVICT);
        assert!(!is_protected(pod), "{}", pod.name_any());
        assert_eq!(safe.map(String::as_str), Some("true"), "{}", pod.name_any());
    }
}
