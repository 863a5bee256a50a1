//! The cluster store on a real Postgres and a real Redis: the contract of stores, and what two stores add to it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/stores.rs"]
mod stores;

use async_trait::async_trait;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_testkit::contract::store::samples::{operation, room, scheduler};
use maestro_testkit::contract::store::{Harness, Owner, Ports};
use maestro_testkit::eventually;
use maestro_testkit::store_contract;
use std::time::{Duration, Instant};
use stores::Stores;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// Far longer than a connection takes to come back.
const LONG: Duration = Duration::from_secs(60);
/// For what a slow machine reaches late.
const SOON: Duration = Duration::from_secs(20);

impl Stores {
    async fn ports(&self) -> Ports {
        let store = self.store().await;
        Ports {
            store: store.clone(),
            reads: store.clone(),
            ownership: store,
        }
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        self.postgres.ask(sql)
    }
}

#[async_trait]
impl Harness for Stores {
    async fn open(&self) -> Ports {
        self.ports().await
    }
}

store_contract! { match Stores::start().await { Some(stores) => stores, None => return } }

/// Waits until all connections are back.
async fn works(ports: &Ports) {
    let until = Instant::now() + LONG;
    while let Err(error) = ports.reads.check().await {
        assert!(Instant::now() < until, "not connected in {LONG:?}: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn created() -> Vec<Change> {
    vec![
        Change::CreateScheduler(scheduler("fleet", "v1.0.0")),
        Change::PutOperation(Box::new(operation("fleet", 1))),
        Change::PutRoom(Box::new(room("r-1", RoomStatus::Ready))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_lacks_of_a_batch_is_written_by_the_next_owner() {
    let Some(mut stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    stores.redis.kill();
    let failed = owner.commit(created()).await;
    assert!(failed.is_err(), "{failed:?}");
    assert!(ports.store.outage().is_some());
    assert_eq!(stores.rows("SELECT name FROM schedulers"), ["fleet"]);
    assert_eq!(stores.rows("SELECT seq FROM maestro_outbox"), ["1"]);
    owner.release().await;
    drop(ports);

    stores.redis.again().await;
    let ports = stores.ports().await;
    let owner = Owner::of(&ports, "fleet").await;
    let loaded = owner.load().await;
    assert!(loaded.scheduler.is_some() && !loaded.behind);
    assert_eq!(loaded.seq, Seq(1));
    assert_eq!((loaded.rooms.len(), loaded.operations.len()), (1, 1));
    assert!(stores.rows("SELECT seq FROM maestro_outbox").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_cut_between_the_stores_is_completed_by_its_writer() {
    let Some(mut stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    stores.redis.kill();
    assert!(owner.commit(created()).await.is_err());
    stores.redis.again().await;
    // The same batch again, for as long as it is certain that it is not complete.
    let until = Instant::now() + LONG;
    let mut tried = owner.commit(created()).await;
    while let Err(error) = &tried {
        assert!(Instant::now() < until, "not complete in {LONG:?}: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        tried = owner.commit(created()).await;
    }
    works(&ports).await;
    assert_eq!(owner.load().await.rooms.len(), 1);
    assert_eq!(stores.rows("SELECT count(*) FROM schedulers"), ["1"]);
    assert!(stores.rows("SELECT seq FROM maestro_outbox").is_empty());
    assert!(ports.store.outage().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_under_the_keys_of_one_scheduler_is_no_outage() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut hurt = Owner::of(&ports, "fleet").await;
    let mut other = Owner::of(&ports, "other").await;
    let key = "scheduler:fleet:status";
    stores.redis.ask(&["SET", key, "something else"]);
    let failed = hurt.commit(created()).await;
    assert!(
        matches!(&failed, Err(CommitError::NotApplied(cause)) if cause.text().contains("rename it")),
        "{failed:?}"
    );
    assert!(ports.store.outage().is_none());
    let room = || vec![Change::PutRoom(Box::new(room("r-1", RoomStatus::Ready)))];
    other.put(room()).await;
    stores.redis.ask(&["DEL", key]);
    hurt.put(created()).await;
    assert_eq!(hurt.load().await.rooms.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_its_data_is_behind_and_goes_on_where_postgres_is() {
    let Some(mut stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(created()).await;
    let seq = owner.seq;
    owner.release().await;
    drop(ports);
    stores.redis.kill();
    stores.redis.forget();
    stores.redis.again().await;

    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let loaded = owner.load().await;
    assert!(loaded.behind && loaded.scheduler.is_some());
    assert_eq!((loaded.seq, loaded.rooms.len()), (seq, 0));
    owner.seq = loaded.seq;
    owner.put(vec![Change::Clear]).await;
    assert!(!owner.load().await.behind, "it is repaired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_without_rows_leaves_postgres_alone() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(created()).await;
    let before = stores.rows("SELECT seq FROM maestro_owner");
    let ready = room("r-2", RoomStatus::Ready);
    owner.put(vec![Change::PutRoom(Box::new(ready))]).await;
    assert_eq!(stores.rows("SELECT seq FROM maestro_owner"), before);
    assert_eq!(owner.load().await.seq, owner.seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_replaces_what_is_left_in_the_outbox_and_rewrites_no_version() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(created()).await;
    stores
        .rows("INSERT INTO maestro_outbox VALUES ('fleet', 1, '\\x7b7d'), ('other', 1, '\\x7b7d')");
    let place = "SELECT ctid FROM scheduler_versions";
    let before = stores.rows(place);
    let document = scheduler("fleet", "v1.0.0");
    owner
        .put(vec![
            Change::Clear,
            Change::UpdateScheduler(document.clone()),
            Change::UpdateVersion(document),
        ])
        .await;
    let left = stores.rows("SELECT scheduler FROM maestro_outbox");
    assert_eq!(left, ["other"]);
    assert_eq!(stores.rows(place), before, "the row was not written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_cannot_be_stored_disturbs_no_other() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let long = "a".repeat(3000);
    let names: Vec<SchedulerName> = ["a\0b", "fleet", &long].map(Into::into).into();
    let claims = ports.ownership.acquire(&names).await.unwrap();
    let [Claim::HeldBy(nobody), Claim::Owned { .. }, Claim::HeldBy(_)] = &claims[..] else {
        panic!("{claims:?}");
    };
    assert_eq!(nobody.session, Uuid::nil());
    let unknown = ports.ownership.owner(&names[0]).await.unwrap();
    assert_eq!(unknown, maestro_core::ports::Owner::Unknown);
    assert!(ports.reads.scheduler("a\0b").await.unwrap().is_none());
    stores.redis.ask(&["HSET", "maestro:fence", "a\0b", "1:1"]);
    stores
        .redis
        .ask(&["RPUSH", "pending_operations:a\0b", "some"]);
    let found = ports.ownership.discover().await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_long_ago_that_cannot_be_read_keeps_no_fleet_from_its_owner() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.commit(created()).await.unwrap();
    stores.rows(
        "INSERT INTO scheduler_versions (name, version, yaml, rollback_version)
         VALUES ('fleet', 'v0.1.0', 'autoscaling: [', '')",
    );
    let loaded = owner.load().await;
    let versions = loaded.versions.iter().map(|version| version.version());
    let versions: Vec<&str> = versions.map(SchedulerVersion::as_str).collect();
    assert_eq!(versions, ["v1.0.0"]);
    // The one in use is another matter.
    stores.rows("UPDATE scheduler_versions SET yaml = '{' WHERE version = 'v1.0.0'");
    let fleet = [("fleet".into(), owner.epoch)];
    let loaded = ports.store.load(&fleet).await.remove(0);
    assert!(matches!(loaded, Err(StoreError::Corrupt(_))), "{loaded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_store_knows_is_forgotten_by_both() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(created()).await;
    let mut busy = Owner::of(&ports, "busy").await;
    busy.put(vec![Change::PutOperation(Box::new(operation("busy", 1)))])
        .await;
    let keep = operation("fleet", 1).id;
    owner.put(vec![Change::DeleteScheduler { keep }]).await;
    // The operation that deletes it still runs.
    let former = owner.fence();
    owner.release().await;
    busy.release().await;
    let names = "SELECT scheduler FROM maestro_owner ORDER BY 1";
    ports.ownership.forget_unneeded().await.unwrap();
    assert_eq!(stores.rows(names), ["busy", "fleet"]);

    let mut owner = Owner::of(&ports, "fleet").await;
    let mut ended = operation("fleet", 1);
    ended.status = OperationStatus::Finished;
    owner.put(vec![Change::PutOperation(Box::new(ended))]).await;
    owner.release().await;
    ports.ownership.forget_unneeded().await.unwrap();
    assert_eq!(stores.rows(names), ["busy"]);
    let fences = stores.redis.texts(&["HKEYS", "maestro:fence"]);
    assert_eq!(fences, ["busy"]);

    // An owner that was stopped all the time wakes up, whatever it had written.
    for previous in [former.previous, Seq(0)] {
        let fence = Fence {
            previous,
            ..former.clone()
        };
        let late = ports.store.commit(fence, vec![put("r-late")].into()).await;
        assert!(matches!(late, Err(CommitError::Fenced { .. })), "{late:?}");
    }
    assert!(stores.redis.texts(&["HKEYS", "maestro:fence"]) == ["busy"]);
    // The name begins anew, after all epochs that it had.
    let mut again = Owner::of(&ports, "fleet").await;
    assert!(again.epoch > Epoch(former.epoch.0 + 1));
    again.put(created()).await;
    assert_eq!(again.load().await.rooms.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_was_left_over_is_forgotten_later() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let open = || vec![Change::PutOperation(Box::new(operation("busy", 1)))];
    for (name, changes) in [("fleet", Vec::new()), ("busy", open())] {
        let mut owner = Owner::of(&ports, name).await;
        owner.put(changes).await;
        owner.release().await;
    }
    let mut held = Owner::of(&ports, "held").await;
    held.put(Vec::new()).await;
    // It stops between the two stores.
    let hdel = |may: &str| stores.redis.ask(&["ACL", "SETUSER", "default", may]);
    hdel("-hdel");
    assert!(ports.ownership.forget_unneeded().await.is_err());
    let rows = "SELECT scheduler FROM maestro_owner ORDER BY 1";
    assert_eq!(stores.rows(rows), ["busy", "held"]);
    // What has open operations is needed, whatever Postgres has of it.
    stores.rows("DELETE FROM maestro_owner WHERE scheduler = 'busy'");
    hdel("+hdel");
    let fences = || {
        let mut names = stores.redis.texts(&["HKEYS", "maestro:fence"]);
        names.sort();
        names
    };
    assert_eq!(fences(), ["busy", "fleet", "held"]);
    ports.ownership.forget_unneeded().await.unwrap();
    assert_eq!(fences(), ["busy", "held"]);
    held.put(vec![put("r-1")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_to_postgres_that_failed_is_not_asked_by_each_owner_in_turn() {
    let Some(mut stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owners = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        owners.push(Owner::of(&ports, name).await);
    }
    // Behind a new connection to Redis all owners have to be proven.
    stores.redis.kill();
    stores.redis.again().await;
    let url = stores.postgres.url().to_owned();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let lock = "BEGIN; LOCK TABLE maestro_owner IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.unwrap();
    let begun = Instant::now();
    let refused = owners.iter_mut().map(async |owner| {
        loop {
            match owner.commit(vec![put("r-1")]).await {
                // Not connected again yet.
                Err(error) if error.to_string().contains("Redis") => {
                    assert!(begun.elapsed() < LONG, "{error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                outcome => return outcome,
            }
        }
    });
    for outcome in futures_util::future::join_all(refused).await {
        assert!(
            matches!(outcome, Err(CommitError::NotApplied(_))),
            "{outcome:?}"
        );
    }
    // Less than twice as long as Postgres may take for one answer.
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(9500), "{took:?}");
    drop(client);
    connection.await.unwrap().unwrap();
    for owner in &mut owners {
        until_connected(owner).await.unwrap_or_else(|error| {
            // Redis had no data on disk.
            assert!(matches!(error, CommitError::Behind { .. }), "{error}");
        });
    }
}

fn put(id: &str) -> Change {
    Change::PutRoom(Box::new(room(id, RoomStatus::Ready)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_redis_lost_in_a_fail_over_still_refuses_a_former_owner() {
    let Some(mut stores) = Stores::start().await else {
        return;
    };
    let (former, next) = (stores.ports().await, stores.ports().await);
    let mut stopped = Owner::of(&former, "fleet").await;
    let mut idle = Owner::of(&former, "idle").await;
    stopped.put(created()).await;
    idle.put(vec![put("r-1")]).await;
    // What a replica that lags has of it.
    stores.redis.ask(&["SAVE"]);
    stores.rows("UPDATE maestro_node SET expires_at = clock_timestamp() - interval '1 minute'");
    next.ownership.renew(&[]).await.unwrap();
    let mut owner = Owner::of(&next, "fleet").await;
    assert!(owner.epoch > stopped.epoch);
    stores.redis.kill();
    stores.redis.again().await;
    let fence = |fleet: &str| stores.redis.texts(&["HGET", "maestro:fence", fleet]);
    assert_eq!(
        fence("fleet"),
        ["1:1"],
        "it knows nothing of the next owner"
    );

    // The former owner wakes up, and is the first to write.
    let late = until_connected(&mut stopped).await;
    let stored = owner.epoch;
    assert!(
        matches!(late, Err(CommitError::Fenced { stored: s }) if s == stored),
        "{late:?}"
    );
    assert_eq!(owner.load().await.rooms.len(), 1);
    // What it still holds goes on, and the next owner too.
    idle.put(vec![put("r-2")]).await;
    until_connected(&mut owner).await.unwrap();
    assert_eq!(fence("fleet"), ["2:2"]);
    // A Redis that loses its data and no connection tells only by its order.
    stores.redis.ask(&["FLUSHALL"]);
    let late = stopped.commit(vec![put("r-late")]).await;
    assert!(matches!(late, Err(CommitError::Fenced { .. })), "{late:?}");
    assert!(fence("fleet").is_empty());
}

/// The outcome of a write once the connection is back.
async fn until_connected(owner: &mut Owner) -> Result<(), CommitError> {
    let until = Instant::now() + LONG;
    loop {
        match owner.commit(vec![put("r-late")]).await {
            Err(error @ (CommitError::NotApplied(_) | CommitError::Unknown(_))) => {
                assert!(Instant::now() < until, "not connected in {LONG:?}: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            outcome => return outcome,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_postgres_refuses_concerns_its_scheduler_alone() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut odd = Owner::of(&ports, "fleet").await;
    let mut other = Owner::of(&ports, "other").await;
    stores.rows("ALTER TABLE schedulers ADD CONSTRAINT ours CHECK (name <> 'fleet')");
    let refused = odd.commit(created()).await;
    assert!(
        matches!(&refused, Err(CommitError::NotApplied(cause)) if cause.text().contains("a constraint")),
        "{refused:?}"
    );
    assert!(ports.store.outage().is_none());
    other.put(vec![put("r-1")]).await;
    stores.rows("ALTER TABLE schedulers DROP CONSTRAINT ours");
    odd.put(created()).await;
    assert_eq!(odd.load().await.rooms.len(), 1);
}

/// Two nodes, of which the second has taken the scheduler of the first, which does not know it yet.
async fn taken_over(stores: &Stores) -> ([Ports; 2], [Owner; 2]) {
    let (former, next) = (stores.ports().await, stores.ports().await);
    let mut stopped = Owner::of(&former, "fleet").await;
    stopped.put(created()).await;
    stores.rows("UPDATE maestro_node SET expires_at = clock_timestamp() - interval '1 minute'");
    next.ownership.renew(&[]).await.unwrap();
    let owner = Owner::of(&next, "fleet").await;
    assert!(owner.epoch > stopped.epoch);
    ([former, next], [stopped, owner])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_owner_writes_no_rows() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (_ports, [mut stopped, mut owner]) = taken_over(&stores).await;
    let rows = "SELECT version, yaml FROM schedulers";
    let before = (
        stores.rows(rows),
        stores.rows("SELECT seq FROM maestro_owner"),
    );
    // In the order of its own writes it is right.
    let late = vec![Change::UpdateScheduler(scheduler("fleet", "v9.0.0"))];
    let late = stopped.commit(late).await;
    assert!(matches!(late, Err(CommitError::Fenced { .. })), "{late:?}");
    let after = (
        stores.rows(rows),
        stores.rows("SELECT seq FROM maestro_owner"),
    );
    assert_eq!(after, before);
    assert!(stores.rows("SELECT seq FROM maestro_outbox").is_empty());
    owner
        .put(vec![Change::UpdateScheduler(scheduler("fleet", "v2.0.0"))])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_owner_does_not_fill_a_redis_that_lost_its_data() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (_ports, [mut stopped, mut owner]) = taken_over(&stores).await;
    // Over connections that go on, so that nothing else tells of it.
    stores.redis.ask(&["FLUSHALL"]);
    for seq in [stopped.seq, Seq(0)] {
        stopped.seq = seq;
        let late = stopped.commit(vec![put("r-late")]).await;
        assert!(matches!(late, Err(CommitError::Fenced { .. })), "{late:?}");
    }
    assert!(stores.redis.texts(&["KEYS", "*"]).is_empty());
    let lost = owner.commit(vec![put("r-1")]).await;
    let none = Seq(0);
    assert!(
        matches!(lost, Err(CommitError::Behind { stored }) if stored == none),
        "{lost:?}"
    );
    owner.seq = none;
    owner.put(vec![Change::Clear, put("r-1")]).await;
    assert_eq!(owner.load().await.rooms.len(), 1);
}

/// What a node that died between the stores left.
fn left_in_the_outbox(stores: &Stores, seq: u64, payload: &str) {
    stores.rows(&format!(
        "INSERT INTO maestro_outbox (scheduler, seq, payload) VALUES ('fleet', {seq}, convert_to('{payload}', 'UTF8'))"
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_the_outbox_that_redis_has_is_not_written_again() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(created()).await;
    owner.put(vec![put("r-2")]).await;
    owner.put(vec![put("r-3")]).await;
    owner.release().await;
    // It was written, and its row was not deleted any more. Now it would delete what came later.
    left_in_the_outbox(
        &stores,
        2,
        r#"{"previous":1,"changes":[{"deleteRoom":"r-3"}]}"#,
    );
    let owner = Owner::of(&ports, "fleet").await;
    let loaded = owner.load().await;
    assert_eq!((loaded.seq, loaded.rooms.len()), (Seq(3), 3));
    assert!(!loaded.behind);
    assert!(stores.rows("SELECT seq FROM maestro_outbox").is_empty());
    let fence = stores.redis.texts(&["HGET", "maestro:fence", "fleet"]);
    assert_eq!(fence, ["2:3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_the_outbox_that_follows_none_of_redis_tells_that_it_lost_changes() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(created()).await;
    owner.release().await;
    // Redis is at 1, and lost 2 and 3.
    left_in_the_outbox(&stores, 4, r#"{"previous":3,"changes":[]}"#);
    let owner = Owner::of(&ports, "fleet").await;
    let loaded = owner.load().await;
    assert!(loaded.behind);
    assert_eq!((loaded.seq, loaded.rooms.len()), (Seq(4), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_replaces_what_the_outbox_has_from_before() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(created()).await;
    left_in_the_outbox(
        &stores,
        1,
        r#"{"previous":0,"changes":[{"putRoom":"rubbish"}]}"#,
    );
    // It is still there when the snapshot has reached Postgres and not Redis.
    stores
        .redis
        .ask(&["SET", "pending_operations:fleet", "no list"]);
    let snapshot = vec![
        Change::Clear,
        Change::UpdateScheduler(scheduler("fleet", "v1.0.0")),
        Change::PutOperation(Box::new(operation("fleet", 2))),
    ];
    assert!(owner.commit(snapshot).await.is_err());
    assert_eq!(stores.rows("SELECT seq FROM maestro_outbox"), ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_tells_the_cause_that_is_left() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let ports = stores.ports().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    stores.redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(owner.commit(created()).await.is_err());
    let full = ports.store.outage().unwrap();
    stores.redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    stores.redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually(SOON, "the replica is told", || {
        ports
            .store
            .outage()
            .is_some_and(|now| now.cause.contains("replica"))
    })
    .await;
    let now = ports.store.outage().unwrap();
    assert!(
        full.cause != now.cause && full.since == now.since,
        "{full:?} {now:?}"
    );
    stores.redis.ask(&["REPLICAOF", "NO", "ONE"]);
    eventually(SOON, "it is over", || ports.store.outage().is_none()).await;
    owner.put(created()).await;
}
