//! The control plane that all tests of this program share; nodes, a kubelet and a namespace for each test.

use crate::support::{BINARY, Home, Maestro, eventually, seconds};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use maestro_testkit::control_plane::{ControlPlane, Shared, TestNode};
use maestro_testkit::kubelet::{Kubelet, Settings as KubeletSettings};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Where pods are spread, which a node has to have.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// An image that cannot be had.
pub const LOST_IMAGE: &str = "maestro/lost";
/// After which a room that says nothing is replaced, as is one on a machine of which nothing is heard.
pub const SILENCE: Duration = Duration::from_secs(6);
const PROTECTED: &str = "maestro-protected";
const VALIDATION: &str = "maestro.validation";

/// Where the rooms of one test run. Its name is that of the scheduler, too.
pub struct Site {
    pub plane: Shared,
    pub kubelet: Kubelet,
    pub name: String,
    client: Client,
}

impl Site {
    /// With so many nodes that no other test uses. `None` without the programs of a control plane, which is said.
    pub async fn open(name: &str, nodes: usize) -> Option<Self> {
        Self::with(name, nodes, |kubelet| kubelet).await
    }

    /// The same, with pods that are only said to run.
    pub async fn status_only(name: &str, nodes: usize, ready_after: Duration) -> Option<Self> {
        Self::with(name, nodes, |kubelet| kubelet.status_only(ready_after)).await
    }

    async fn with(
        name: &str,
        nodes: usize,
        how: impl FnOnce(KubeletSettings) -> KubeletSettings,
    ) -> Option<Self> {
        let plane = ControlPlane::shared().await?;
        let names: Vec<String> = (0..nodes).map(|node| format!("{name}-{node}")).collect();
        let registered = names.iter().map(|node| {
            let node = TestNode::new(node).label(name, "true").dedicated(name);
            node.label(ZONE, "one")
        });
        plane.register_nodes(&registered.collect::<Vec<_>>()).await;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let kubelet = Kubelet::of(&plane, &names).await;
        let binary = std::path::Path::new(BINARY);
        Some(Self {
            kubelet: how(kubelet)
                .program("maestro", binary)
                .broken_image(LOST_IMAGE, "ImagePullBackOff")
                .start(),
            client: plane.client().await,
            name: name.to_owned(),
            plane,
        })
    }

    /// The variables of a process that runs its rooms here. The pods of a machine that is gone for two seconds are
    /// deleted by force.
    pub fn environment(&self) -> Vec<(String, String)> {
        let kubeconfig = self.plane.kubeconfig().display().to_string();
        let silence = SILENCE.as_millis().to_string();
        [
            ("MAESTRO_RUNTIME_TYPE", "kubernetes"),
            (
                "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG",
                &kubeconfig,
            ),
            (
                "MAESTRO_SERVICES_ROOMMANAGER_ROOMPINGTIMEOUTMILLIS",
                &silence,
            ),
            (
                "MAESTRO_SERVICES_ROOMMANAGER_ROOMDELETIONTIMEOUTMILLIS",
                "2000",
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    pub fn start(&self, home: &Home) -> Maestro {
        home.start_with(&borrowed(&self.environment()))
    }

    /// A fleet of sample rooms that ping there.
    pub fn fleet(&self, home: &Home, rooms_api: &str, rooms: u32) -> Value {
        let command = ["maestro", "room", "--ping-interval", "300ms", "--port", "0"];
        let mut fleet = home.fleet_of(&self.name, rooms, &command);
        fleet["spec"]["affinity"] = self.name.as_str().into();
        fleet["spec"]["toleration"] = self.name.as_str().into();
        fleet["spec"]["containers"][0]["environment"] = environment(rooms_api, "1");
        fleet
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The pods of its namespace, by name.
    pub async fn all_pods(&self) -> BTreeMap<String, Pod> {
        let listed = self.pods().list(&ListParams::default()).await;
        let listed = listed.expect("a list").items.into_iter();
        listed.map(|pod| (pod.name_any(), pod)).collect()
    }

    pub async fn pod(&self, room: &str) -> Pod {
        self.pods().get(room).await.expect("the pod")
    }

    /// Starts a match that does not end by itself.
    pub async fn play(&self, room: &str) {
        let answer = self.say(room, "match 600 2").await;
        assert!(answer.starts_with("ok"), "{answer}");
    }

    pub async fn end_match(&self, room: &str) {
        let answer = self.say(room, "end").await;
        assert!(answer.starts_with("ok"), "{answer}");
    }

    /// Says a line to the game of a room: it logs the port that it got.
    async fn say(&self, room: &str, line: &str) -> String {
        let log = self.kubelet.log(&self.name, room, "game");
        let address = log.split("listening on ").nth(1);
        let address = address.and_then(|rest| rest.lines().next());
        let address = address.unwrap_or_else(|| panic!("{room} does not listen:\n{log}"));
        let mut stream = TcpStream::connect(address.trim()).expect("the room listens");
        stream
            .set_read_timeout(Some(seconds(20)))
            .expect("it can wait");
        writeln!(stream, "{line}").expect("the room reads");
        let mut answer = String::new();
        let mut lines = BufReader::new(stream);
        lines.read_line(&mut answer).expect("the room answers");
        answer
    }

    /// The HTTP code of the answer to an eviction.
    pub async fn evict(&self, room: &str) -> u16 {
        match self.pods().evict(room, &EvictParams::default()).await {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn cordon(&self, node: &str) {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"spec": {"unschedulable": true}}));
        let cordoned = nodes.patch(node, &PatchParams::default(), &patch).await;
        cordoned.expect("a node");
    }

    pub async fn until_namespace_is_gone(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let gone = || async {
            let found = namespaces.get_opt(&self.name).await;
            found.expect("an answer").is_none()
        };
        assert!(eventually(seconds(30), gone).await, "it is still there");
    }

    /// Waits until the pods are the rooms that Maestro lists, and are as told.
    pub async fn until_rooms(
        &self,
        maestro: &Maestro,
        what: &str,
        level: impl Fn(&BTreeMap<String, Pod>) -> bool,
    ) {
        let until = Instant::now() + seconds(30);
        loop {
            let pods = self.all_pods().await;
            let mut listed = rooms(maestro, &self.name, "").await;
            listed.sort();
            let same = pods.keys().eq(&listed);
            if same && level(&pods) {
                return;
            }
            let shown = pods
                .iter()
                .map(|(name, pod)| (name.clone(), version(pod).to_owned()));
            let shown: BTreeMap<_, _> = shown.collect();
            let in_time = Instant::now() < until;
            assert!(in_time, "not {what}: {shown:?}, {listed:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// No room was created twice: each name was given once in this namespace.
    pub fn expect_single_creations(&self) {
        if !self.plane.is_own() {
            return;
        }
        let mut created = BTreeSet::new();
        for event in self.plane.audit() {
            let is_pod = event.resource == "pods" && event.subresource.is_empty();
            let is_creation = is_pod && event.verb == "create" && event.code == 201;
            if is_creation && event.namespace == self.name {
                assert!(created.insert(event.name.clone()), "{} twice", event.name);
            }
        }
        assert!(!created.is_empty());
    }
}

/// What sample rooms are told; another `build` is another version.
pub fn environment(rooms_api: &str, build: &str) -> Value {
    json!([
        {"name": "MAESTRO_ROOMS_API_URL", "value": rooms_api},
        {"name": "BUILD", "value": build},
    ])
}

/// A change of the rooms, which replaces all of them.
pub fn another(rooms_api: &str, build: &str) -> Value {
    json!({"spec": {"containers": [{"environment": environment(rooms_api, build)}]}})
}

pub fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    let all = environment.iter();
    all.map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Ids of rooms, as Maestro lists them.
pub async fn rooms(maestro: &Maestro, scheduler: &str, query: &str) -> Vec<String> {
    let path = format!("/schedulers/{scheduler}/rooms{query}");
    let (status, body) = maestro.get(&path).await;
    assert_eq!(status, 200, "{body}");
    let all = body["rooms"].as_array().expect("a list").iter();
    all.map(|room| room["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// Allocates a room; its id.
pub async fn allocate(maestro: &Maestro, scheduler: &str) -> String {
    let (status, body) = maestro.allocate(scheduler).await;
    assert_eq!(status, 200, "{body}");
    body["roomId"].as_str().expect("an id").to_owned()
}

pub fn version(pod: &Pod) -> &str {
    pod.labels().get("version").map_or("", String::as_str)
}

pub fn is_protected(pod: &Pod) -> bool {
    pod.labels().contains_key(PROTECTED)
}

pub fn is_validation(pod: &Pod) -> bool {
    pod.annotations().contains_key(VALIDATION)
}

pub fn node_of(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

/// Whether those in which somebody plays are all pods of earlier versions.
pub fn are_left(pods: &BTreeMap<String, Pod>, busy: &[Pod], new: &str) -> bool {
    let old = pods.iter().filter(|(_, pod)| version(pod) != new);
    let old: BTreeSet<String> = old.map(|(name, _)| name.clone()).collect();
    let busy = busy.iter().filter(|pod| version(pod) != new);
    old == busy.map(ResourceExt::name_any).collect()
}

/// These pods are what they were, and nobody has told them to end.
pub fn expect_untouched(before: &[Pod], now: &BTreeMap<String, Pod>) {
    for old in before {
        let name = old.name_any();
        let pod = now.get(&name).unwrap_or_else(|| panic!("{name} is gone"));
        assert_eq!(pod.uid(), old.uid(), "{name} was made again");
        let deleted = &pod.metadata.deletion_timestamp;
        assert!(deleted.is_none(), "{name} was told to end");
    }
}

/// The value of a sample that has all of these labels.
pub fn sample(page: &str, name: &str, labels: &[&str]) -> f64 {
    let mut lines = page
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    let value = lines.next().and_then(|line| line.rsplit(' ').next());
    value.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// The page of metrics.
pub async fn metrics(maestro: &Maestro) -> String {
    let (_, page) = maestro
        .call("GET", &format!("{}/metrics", maestro.internal), None)
        .await;
    match page {
        Value::String(page) => page,
        other => other.to_string(),
    }
}
