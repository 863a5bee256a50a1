//! A node takes a recorded installation of the original over, in the middle of its work, on real stores. The runtime is
//! a fake that lists the recorded pods.

#[path = "takeover/recording.rs"]
mod recording;
#[path = "takeover/served.rs"]
mod served;
#[path = "../store/tests/support/stores.rs"]
mod stores;

use maestro_actors::{ActorSettings, Node, NodeParts};
use maestro_core::domain::*;
use maestro_core::rules::patch::Patch;
use maestro_core::settings::CoreSettings;
use maestro_core::state::{Command, Reply};
use maestro_testkit::eventually;
use maestro_testkit::fake::{FakeForwarders, FakeRuntime, RuntimeCall, TokioClock};
use serde_json::Value;
use served::SERVED;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stores::Stores;

const PODS: &str = include_str!("takeover/busy/pods.json");
const NODES: &str = include_str!("takeover/busy/nodes.json");
const LONG: Duration = Duration::from_secs(30);

impl Stores {
    /// With the recording. `None` where a program is missing, which is said.
    async fn busy() -> Option<Self> {
        let stores = Self::start().await?;
        recording::fill(&stores.postgres, &stores.redis);
        Some(stores)
    }

    fn state(&self, name: &str) -> String {
        let sql = format!("SELECT state FROM schedulers WHERE name = '{name}'");
        self.postgres.ask(&sql).concat()
    }

    /// The status of an operation, as the contract numbers it (8.2).
    fn operation(&self, scheduler: &str, id: &str) -> String {
        let key = format!("operations:{scheduler}:{id}");
        self.redis.texts(&["HGET", &key, "status"]).concat()
    }

    fn status(&self, scheduler: &str, room: &str) -> String {
        let key = format!("scheduler:{scheduler}:status");
        self.redis.texts(&["ZSCORE", &key, room]).concat()
    }
}

/// The recorded pods, by scheduler.
fn pods() -> BTreeMap<String, Vec<Instance>> {
    let nodes: Vec<Value> = serde_json::from_str(NODES).expect("JSON");
    let host = |name: &Value| {
        let node = nodes.iter().find(|node| node["metadata"]["name"] == *name);
        let address = &node.expect("its node")["status"]["addresses"][0]["address"];
        address.as_str().expect("an address").to_owned()
    };
    let objects: Vec<Value> = serde_json::from_str(PODS).expect("JSON");
    let mut pods: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
    for pod in objects.iter().filter(|object| object["kind"] == "Pod") {
        let meta = &pod["metadata"];
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let containers = pod["spec"]["containers"].as_array().expect("containers");
        let ports = containers
            .iter()
            .flat_map(|c| c["ports"].as_array().into_iter().flatten());
        let ports = ports.map(|port| Port {
            name: text(&port["name"]),
            port: port["hostPort"].as_i64().expect("a port") as i32,
            protocol: text(&port["protocol"]),
        });
        let instance = Instance {
            room: text(&meta["name"]).as_str().into(),
            uid: text(&meta["uid"]),
            version: text(&meta["labels"]["version"]).as_str().into(),
            validation: false,
            status: InstanceStatus::Ready,
            description: String::new(),
            restarting: None,
            trouble: None,
            address: Some(Arc::new(Address {
                host: host(&pod["spec"]["nodeName"]),
                ports: ports.collect(),
            })),
            resource_version: text(&meta["resourceVersion"]).parse().expect("a number"),
        };
        pods.entry(text(&meta["namespace"]))
            .or_default()
            .push(instance);
    }
    pods
}

#[test]
fn everything_is_healed_and_no_room_is_restarted() {
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let io = io.expect("a runtime");
    let Some(stores) = io.block_on(Stores::busy()) else {
        return;
    };
    let store = io.block_on(stores.store());
    let runtime = FakeRuntime::new();
    let recorded = pods();
    for (scheduler, instances) in &recorded {
        for instance in instances {
            runtime.insert(scheduler, instance.clone());
        }
    }
    let handle = io.handle().clone();
    actix_rt::System::new().block_on(async {
        let parts = NodeParts::new(
            store,
            runtime.clone(),
            FakeForwarders::new(),
            TokioClock::new(),
            CoreSettings::default(),
            ActorSettings::default(),
            handle,
        );
        let node = Node::start(parts);
        healed(&stores, &runtime).await;
        serves(&node).await;
        node.shutdown().await;
    });
    // Only the room of the validation that nobody waited for.
    let ended: Vec<String> = runtime
        .terminations()
        .iter()
        .map(|(room, _)| room.to_string())
        .collect();
    assert_eq!(ended, ["raid-z7mc4"]);
    for (scheduler, instances) in &recorded {
        let running = runtime.instances(scheduler);
        for before in instances
            .iter()
            .filter(|pod| pod.room.as_str() != "raid-z7mc4")
        {
            let same = |now: &Instance| now.room == before.room && now.uid == before.uid;
            assert!(running.iter().any(same), "{}", before.room);
        }
    }
}

/// As the README of the recording says.
async fn healed(stores: &Stores, runtime: &FakeRuntime) {
    let raid = || stores.operation("raid", "8302ca63-6a9e-4f5b-8d42-596d49faa6c4") == "5";
    eventually(LONG, "raid: the version ends in error", raid).await;
    eventually(LONG, "raid: in sync", || stores.state("raid") == "in-sync").await;
    let ranges = || stores.operation("ranges", "93daa6b8-45ea-4848-bcfa-806378795244") == "5";
    eventually(LONG, "ranges: the test ends in error", ranges).await;
    let edit = || stores.operation("ranges", "36f5ba0f-1e8f-4f60-ae9d-0a435349d064") == "3";
    eventually(LONG, "ranges: the edit that waited is made", edit).await;
    let rooms = || runtime.rooms("ranges").len() == 4;
    eventually(LONG, "ranges: four rooms", rooms).await;
    let arena = || stores.operation("arena-eu", "06c67617-6aff-4da9-9b2a-2be5b1a4bbce") == "3";
    eventually(LONG, "arena-eu: the version that waited is made", arena).await;
    eventually(LONG, "empty: deleted", || stores.state("empty").is_empty()).await;
    eventually(LONG, "empty: its place too", || {
        runtime.calls(RuntimeCall::Remove) > 0
    })
    .await;
    eventually(LONG, "newborn: in sync", || {
        stores.state("newborn") == "in-sync"
    })
    .await;
    eventually(LONG, "newborn: two rooms", || {
        runtime.rooms("newborn").len() == 2
    })
    .await;
    let leftover = ["HEXISTS", "scheduler:raid:podMap", "raid-leftover"];
    eventually(LONG, "raid: the entry goes", || {
        stores.redis.texts(&leftover) == ["0"]
    })
    .await;
    for (scheduler, room, status) in SERVED {
        assert_eq!(stores.status(scheduler, room), status, "{room}");
    }
}

async fn serves(node: &Node) {
    let given = node.ask("lobby", Command::Allocate, None).await;
    let Ok(Reply::Allocated { room, address }) = given else {
        panic!("{given:?}");
    };
    assert_eq!(room.as_str(), "lobby-zdr6l");
    assert_eq!(address.host, "10.0.0.10");
    let patch = Patch {
        rooms_replicas: Some(3),
        ..Patch::default()
    };
    let edited = node
        .ask("raid", Command::Patch(Box::new(patch)), None)
        .await;
    assert!(matches!(edited, Ok(Reply::Operation(_))), "{edited:?}");
}
