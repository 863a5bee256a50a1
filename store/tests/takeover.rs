//! A recorded installation of the original on real stores: read, mended, handed back, and taken over again.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../tests/takeover/recording.rs"]
mod recording;
#[path = "support/stores.rs"]
mod stores;

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_store::cluster::ClusterStore;
use maestro_store::cluster::doctor::{HandBackError, Kind, Outcome, Remedy};
use maestro_testkit::contract::store::samples::{operation, room};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use stores::Stores;

const NAMES: [&str; 6] = ["arena-eu", "empty", "lobby", "newborn", "raid", "ranges"];

impl Stores {
    /// With the recording. `None` where a program is missing, which is said.
    async fn busy() -> Option<Self> {
        let stores = Self::start().await?;
        recording::fill(&stores.postgres, &stores.redis);
        Some(stores)
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        self.postgres.ask(sql)
    }

    fn keys(&self) -> BTreeMap<String, Vec<String>> {
        let mut connection = self.redis.connection();
        let mut ask = |command: &[&str]| connection.ask(command).unwrap().texts();
        let mut all = BTreeMap::new();
        for key in ask(&["KEYS", "*"]) {
            let value = match ask(&["TYPE", &key]).concat().as_str() {
                "hash" => {
                    let texts = ask(&["HGETALL", &key]);
                    let mut pairs: Vec<_> = texts.chunks(2).map(<[String]>::concat).collect();
                    pairs.sort();
                    pairs
                }
                "list" => ask(&["LRANGE", &key, "0", "-1"]),
                "zset" => ask(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]),
                _ => ask(&["GET", &key]),
            };
            all.insert(key, value);
        }
        all
    }
}

async fn take_over(store: &ClusterStore) -> BTreeMap<&'static str, (Fence, Loaded)> {
    let names: Vec<SchedulerName> = NAMES.iter().map(|name| (*name).into()).collect();
    let claims = store.acquire(&names).await.unwrap();
    let owned = names.iter().zip(&claims).map(|(name, claim)| match claim {
        Claim::Owned { epoch, .. } => (name.clone(), *epoch),
        Claim::HeldBy(holder) => panic!("{name} is held by {holder:?}"),
    });
    let owned: Vec<_> = owned.collect();
    let loaded = store.load(&owned).await;
    let all = NAMES.into_iter().zip(owned).zip(loaded);
    let all = all.map(|((name, (scheduler, epoch)), loaded)| {
        let loaded = loaded.unwrap();
        let fence = Fence {
            scheduler,
            epoch,
            previous: loaded.seq,
            seq: loaded.seq.next(),
        };
        (name, (fence, loaded))
    });
    all.collect()
}

fn open_of(loaded: &Loaded) -> Vec<String> {
    let line = |o: &OperationRecord| format!("{} {}", o.status.as_str(), o.definition.name());
    loaded.operations.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_reports_without_changing_anything_and_mends_when_told() {
    let Some(stores) = Stores::busy().await else {
        return;
    };
    // An operation without any list or lease, a hash of no room, and an id without an operation (contract 11.1).
    let lost = operation_hash(&stores, "lobby", "00000000-0000-4000-8000-0000000000a1");
    stores
        .redis
        .ask(&["HSET", "scheduler:raid:rooms:late", "ping_status", "1"]);
    let missing = "00000000-0000-4000-8000-0000000000a2";
    stores
        .redis
        .ask(&["RPUSH", "pending_operations:ranges", missing, "no-uuid"]);
    stores
        .redis
        .ask(&["ZADD", "scheduler:gone:status", "2", "r-1"]);
    stores
        .redis
        .ask(&["ZADD", "scheduler:gone:ping", "2", "r-1"]);
    stores
        .redis
        .ask(&["ZADD", "scheduler:gone:occupancy", "0", "r-1"]);
    stores
        .redis
        .ask(&["HSET", "scheduler:gone:rooms:r-1", "version", "v1.0.0"]);
    let before = (stores.keys(), stores.rows("TABLE maestro_owner"));
    let store = stores.store().await;
    let found = store.examine(None).await.unwrap();
    let kinds: Vec<_> = found
        .iter()
        .map(|f| (f.scheduler.as_str(), f.kind))
        .collect();
    let expected = [
        ("gone", Kind::NoScheduler),
        ("lobby", Kind::Remains),
        ("lobby", Kind::NoQueue),
        ("raid", Kind::Remains),
        ("raid", Kind::Remains),
        ("ranges", Kind::ForeignId),
        ("ranges", Kind::NoOperation),
    ];
    assert_eq!(kinds, expected, "{found:#?}");
    assert_eq!((stores.keys(), stores.rows("TABLE maestro_owner")), before);

    let treated = store.repair(found).await.unwrap();
    for one in &treated {
        let expected = match one.finding.remedy {
            Remedy::Repair(_) => Outcome::Mended,
            _ => Outcome::Left,
        };
        assert_eq!(one.outcome, expected, "{one:?}");
    }
    let left = store.examine(None).await.unwrap();
    let kinds: Vec<_> = left
        .iter()
        .map(|f| (f.scheduler.as_str(), f.kind))
        .collect();
    let by_hand = [
        ("gone", Kind::NoScheduler),
        ("ranges", Kind::ForeignId),
        ("ranges", Kind::NoOperation),
    ];
    assert_eq!(kinds, by_hand);
    assert_eq!(stores.redis.texts(&["HGET", &lost, "status"]), ["2"]);
    assert_eq!(stores.rows("SELECT count(*) FROM maestro_node"), ["0"]);
    // Whoever comes next finds everything else as it was.
    let rooms = take_over(&*stores.store().await).await;
    let counts: Vec<_> = rooms
        .values()
        .map(|(_, loaded)| loaded.rooms.len())
        .collect();
    assert_eq!(counts, [5, 0, 4, 0, 4, 2]);
    assert!(rooms.values().all(|(_, loaded)| !loaded.behind));
}

/// An operation that waits, and is in no queue.
fn operation_hash(stores: &Stores, scheduler: &str, id: &str) -> String {
    let key = format!("operations:{scheduler}:{id}");
    let words = [
        "HSET",
        &key,
        "id",
        id,
        "schedulerName",
        scheduler,
        "status",
        "0",
        "definitionName",
        "add_rooms",
        "createdAt",
        "2026-11-27T23:30:09.969880138Z",
        "definitionContents",
        r#"{"amount":1}"#,
        "executionHistory",
        "null",
    ];
    stores.redis.ask(&words);
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_owns_is_left_to_it() {
    let Some(stores) = Stores::busy().await else {
        return;
    };
    let node = stores.store().await;
    take_over(&node).await;
    let doctor = stores.store().await;
    let found = doctor.examine(None).await.unwrap();
    assert!(!found.is_empty());
    // Nothing is promised, and nothing is done.
    for one in doctor.repair(found).await.unwrap() {
        assert!(matches!(one.finding.remedy, Remedy::ByHand(_)), "{one:?}");
        assert_eq!(one.outcome, Outcome::Left);
    }
    let running = doctor.hand_back().await.unwrap_err();
    assert!(matches!(running, HandBackError::Running(_)), "{running}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_counted_on_where_redis_is_after_a_restore_of_postgres() {
    let Some(stores) = Stores::busy().await else {
        return;
    };
    stores
        .redis
        .ask(&["HSET", "maestro:fence", "arena-eu", "7:9"]);
    let store = stores.store().await;
    let found = store.examine(None).await.unwrap();
    assert!(found.iter().any(|f| f.kind == Kind::Ahead), "{found:?}");
    let treated = store.repair(found).await.unwrap();
    let ahead = treated
        .iter()
        .find(|one| one.finding.kind == Kind::Ahead)
        .unwrap();
    assert_eq!(ahead.outcome, Outcome::Mended);
    let all = take_over(&*stores.store().await).await;
    let (fence, loaded) = &all["arena-eu"];
    assert!(fence.epoch > Epoch(7) && loaded.seq > Seq(9), "{fence:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_and_there_again() {
    let Some(stores) = Stores::busy().await else {
        return;
    };
    let node = stores.store().await;
    let taken = take_over(&node).await;
    let first: Vec<_> = taken
        .values()
        .map(|(_, l)| (l.rooms.clone(), open_of(l)))
        .collect();
    // Ours writes: a room, an operation that runs, and a document.
    let (fence, loaded) = &taken["arena-eu"];
    let mut running = operation("arena-eu", 7);
    running.status = OperationStatus::InProgress;
    let mut document = Scheduler::clone(loaded.scheduler.as_ref().unwrap());
    document.rooms_replicas = 9;
    let changes: Vec<Change> = vec![
        Change::UpdateScheduler(Arc::new(document)),
        Change::PutRoom(Box::new(room("arena-eu-new", RoomStatus::Ready))),
        Change::PutOperation(Box::new(running.clone())),
    ];
    node.commit(fence.clone(), changes.into()).await.unwrap();
    // A batch that a node which died had not written to Redis yet.
    stores.rows(
        "UPDATE maestro_owner SET seq = 2 WHERE scheduler = 'arena-eu';
         INSERT INTO maestro_outbox VALUES ('arena-eu', 2,
             convert_to('{\"previous\":1,\"changes\":[{\"deleteRoom\":\"arena-eu-wlm5v\"}]}', 'UTF8'))",
    );
    node.leave().await.unwrap();
    drop(node);

    let doctor = stores.store().await;
    let done = doctor.hand_back().await.unwrap();
    assert_eq!(done.schedulers, NAMES.len());
    assert_eq!(done.behind, []);
    assert!(
        done.ended
            .iter()
            .any(|line| line.contains(&running.id.to_string())),
        "{done:?}"
    );
    drop(doctor);
    read_as_the_original(&stores, &running);

    // The original goes on: a room more, one less, another document, an operation.
    stores.rows("UPDATE schedulers SET yaml = replace(yaml, '\"RoomsReplicas\":9', '\"RoomsReplicas\":4') WHERE name = 'arena-eu'");
    for set in ["status", "ping", "occupancy"] {
        let key = format!("scheduler:arena-eu:{set}");
        stores.redis.ask(&["ZADD", &key, "2", "arena-eu-theirs"]);
        stores.redis.ask(&["ZREM", &key, "arena-eu-new"]);
    }
    let theirs = "scheduler:arena-eu:rooms:arena-eu-theirs";
    stores.redis.ask(&[
        "HSET",
        theirs,
        "version",
        "v2.0.0",
        "metadata",
        "null",
        "ping_status",
        "1",
    ]);
    stores
        .redis
        .ask(&["DEL", "scheduler:arena-eu:rooms:arena-eu-new"]);
    stores
        .redis
        .ask(&["HDEL", "scheduler:arena-eu:podMap", "arena-eu-new"]);
    let id = "00000000-0000-4000-8000-0000000000b1";
    operation_hash(&stores, "arena-eu", id);
    stores
        .redis
        .ask(&["RPUSH", "pending_operations:arena-eu", id]);

    let node = stores.store().await;
    let again = take_over(&node).await;
    assert!(
        again
            .values()
            .all(|(fence, l)| fence.epoch == Epoch(1) && !l.behind && l.seq == Seq(0))
    );
    let (_, loaded) = &again["arena-eu"];
    assert_eq!(loaded.scheduler.as_ref().unwrap().rooms_replicas, 4);
    let ids: Vec<_> = loaded.rooms.iter().map(|room| room.id.as_str()).collect();
    assert_eq!(ids.len(), 5, "{ids:?}");
    assert!(ids.contains(&"arena-eu-theirs") && !ids.contains(&"arena-eu-wlm5v"));
    assert_eq!(open_of(loaded).last().unwrap(), "pending add_rooms");
    let others = again
        .iter()
        .zip(first)
        .filter(|((name, _), _)| **name != "arena-eu");
    for ((name, (_, loaded)), (rooms, operations)) in others {
        assert_eq!(loaded.rooms, rooms, "{name}");
        let waiting = |all: &[String]| all.iter().filter(|o| o.starts_with("pending")).count();
        assert_eq!(waiting(&open_of(loaded)), waiting(&operations), "{name}");
    }
}

/// The tables, keys, types and forms of values of the contract (8.1, 8.2), and nothing of ours that stands in its way.
fn read_as_the_original(stores: &Stores, ended: &OperationRecord) {
    for table in ["maestro_owner", "maestro_outbox", "maestro_node"] {
        let count = stores.rows(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(count, ["0"], "{table}");
    }
    assert!(stores.keys().keys().all(|key| !key.starts_with("maestro:")));
    let yaml = stores
        .rows("SELECT yaml FROM schedulers WHERE name = 'arena-eu'")
        .concat();
    let document: Value = serde_json::from_str(&yaml).unwrap();
    assert_eq!(document["RoomsReplicas"], 9);
    for key in [
        "Autoscaling",
        "Containers",
        "Forwarders",
        "MatchAllocation",
        "MaxSurge",
        "PortRange",
    ] {
        assert!(document.get(key).is_some(), "{key}");
    }
    let types = stores.rows("SELECT state, version, state_last_changed_at > 0, updated_at IS NOT NULL FROM schedulers WHERE name = 'arena-eu'");
    assert_eq!(types, ["in-sync|v2.0.0|t|t"]);
    let pod = stores
        .redis
        .texts(&["HGET", "scheduler:arena-eu:podMap", "arena-eu-new"])
        .concat();
    let pod: Value = serde_json::from_str(&pod).unwrap();
    for key in ["id", "schedulerId", "status", "address", "resourceVersion"] {
        assert!(pod.get(key).is_some(), "{key}: {pod}");
    }
    assert!(pod["status"]["type"].is_i64() && pod["resourceVersion"].is_string());
    let hash = stores
        .redis
        .texts(&["HGETALL", "scheduler:arena-eu:rooms:arena-eu-new"]);
    let fields: BTreeMap<_, _> = hash
        .chunks(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    for number in ["ping_status", "created_at"] {
        assert!(
            fields[number].parse::<i64>().is_ok(),
            "{number}: {fields:?}"
        );
    }
    assert!(matches!(fields["is_validation_room"], "0" | "1"));
    let id = ended.id.to_string();
    let operation = format!("operations:arena-eu:{id}");
    assert_eq!(stores.redis.texts(&["HGET", &operation, "status"]), ["5"]);
    let history = stores
        .redis
        .texts(&["HGET", &operation, "executionHistory"])
        .concat();
    let history: Vec<Value> = serde_json::from_str(&history).unwrap();
    let last = history.last().unwrap();
    assert!(last["CreatedAt"].is_string() && last["Event"].is_string());
    assert!(
        stores
            .redis
            .texts(&["ZRANGE", "operations:arena-eu:lists:active", "0", "-1"])
            .is_empty()
    );
    assert!(
        stores
            .redis
            .texts(&["ZRANGE", "operations:arena-eu:operationsLease", "0", "-1"])
            .is_empty()
    );
    let ended = stores
        .redis
        .texts(&["ZRANGE", "operations:arena-eu:lists:history", "0", "-1"]);
    assert!(ended.contains(&id));
}
