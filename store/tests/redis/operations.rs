//! Operations: the queue, the stages, leases, the end, and what other programs put there.

use super::support::{Owner, open, put};
use maestro_core::domain::*;
use maestro_core::ports::{Change, Stage, StoreError};
use maestro_store::redis::{Oddity, RedisStore};
use maestro_testkit::contract::store::samples::*;
use maestro_testkit::servers::redis::RedisServer;

const NEWEST: Stage = Stage::Final {
    offset: 0,
    limit: 100,
    ascending: false,
};

async fn listed(store: &RedisStore, stage: Stage) -> Vec<OperationId> {
    let page = store.operations("fleet", stage).await.unwrap();
    page.operations
        .iter()
        .map(|operation| operation.id)
        .collect()
}

fn ids(numbers: &[u8]) -> Vec<OperationId> {
    numbers.iter().map(|number| operation_id(*number)).collect()
}

fn texts(numbers: &[u8]) -> Vec<String> {
    numbers
        .iter()
        .map(|number| operation_id(*number).to_string())
        .collect()
}

/// The hash that another program writes.
fn push(server: &RedisServer, number: u8, fields: &[&str]) {
    let key = format!("operations:fleet:{}", operation_id(number));
    let created = "2024-01-02T03:04:05.123456789Z";
    let whole = [
        "definitionName",
        "add_rooms",
        "definitionContents",
        r#"{"amount":1}"#,
        "createdAt",
        created,
    ];
    let command = [
        &[
            "HSET",
            key.as_str(),
            "status",
            "0",
            "executionHistory",
            "null",
        ],
        &whole[..],
        fields,
    ]
    .concat();
    server.ask(&command);
}

#[tokio::test]
async fn an_operation_goes_from_the_queue_to_the_history() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let numbered =
        [(1, false), (2, true), (3, false), (4, true)].map(|(number, priority)| OperationRecord {
            priority,
            ..operation("fleet", number)
        });
    owner.put(&numbered.each_ref().map(put)).await;
    let queue = "pending_operations:fleet";
    assert_eq!(
        server.texts(&["LRANGE", queue, "0", "-1"]),
        texts(&[4, 2, 1, 3])
    );
    assert_eq!(listed(&store, Stage::Pending).await, ids(&[4, 2, 1, 3]));
    let found = owner.stored().await.operations;
    assert_eq!(
        found.iter().map(|o| o.id).collect::<Vec<_>>(),
        ids(&[4, 2, 1, 3])
    );
    assert_eq!(found[0], numbered[3]);
    // The original takes the head into a list of its own before it runs it.
    server.ask(&[
        "LMOVE",
        queue,
        "pending_operations:fleet:auxiliary",
        "LEFT",
        "RIGHT",
    ]);
    assert_eq!(listed(&store, Stage::Pending).await, ids(&[4, 2, 1, 3]));

    let mut running = ended(numbered[3].clone(), OperationStatus::InProgress, 10);
    running.lease_until = Some(at(15));
    running.resume.step = "adding".into();
    owner.put(&[put(&running)]).await;
    assert_eq!(listed(&store, Stage::Pending).await, ids(&[2, 1, 3]));
    assert_eq!(
        server.texts(&["LLEN", "pending_operations:fleet:auxiliary"]),
        ["0"]
    );
    let active = store.operations("fleet", Stage::Active).await.unwrap();
    assert_eq!((active.total, &*active.operations[0]), (1, &running));
    assert_eq!(owner.stored().await.operations[0], running);
    let renew = |number, seconds| Change::RenewOperationLease {
        operation: operation_id(number),
        until: at(seconds),
    };
    owner
        .put(&[renew(4, 20), renew(2, 20), renew(77, 20)])
        .await;
    let second = |seconds| at(seconds).as_second().to_string();
    let leases = [
        "ZRANGE",
        "operations:fleet:operationsLease",
        "0",
        "-1",
        "WITHSCORES",
    ];
    assert_eq!(
        server.texts(&leases),
        [texts(&[4]), vec![second(20)]].concat()
    );

    let mut done = ended(running, OperationStatus::Finished, 30);
    (done.lease_until, done.priority, done.resume) = (None, false, ResumeState::default());
    owner.put(&[put(&done), renew(4, 40)]).await;
    assert!(server.texts(&leases).is_empty());
    assert!(listed(&store, Stage::Active).await.is_empty());
    assert_eq!(listed(&store, NEWEST).await, ids(&[4]));
    let found = store.operation("fleet", done.id).await.unwrap();
    assert_eq!(found.as_deref(), Some(&done));
    assert_eq!(store.operation("fleet-2", done.id).await.unwrap(), None);
    let history = [
        "ZRANGE",
        "operations:fleet:lists:history",
        "0",
        "-1",
        "WITHSCORES",
    ];
    assert_eq!(
        server.texts(&history),
        [texts(&[4]), vec![second(30)]].concat()
    );
    let key = format!("operations:fleet:{}", done.id);
    let ttl: u64 = server.texts(&["TTL", &key])[0].parse().unwrap();
    assert!(
        (86_000..=86_400).contains(&ttl),
        "a periodic one is kept for a day: {ttl}"
    );
    assert_eq!(server.texts(&["HLEN", &journal(&server)]), ["3"]);

    owner.put(&[Change::DeleteOperations(ids(&[4, 99]))]).await;
    assert!(server.texts(&history).is_empty());
    assert_eq!(server.texts(&["EXISTS", &key]), ["0"]);
    assert!(owner.stored().await.ended.is_empty());
}

#[tokio::test]
async fn the_history_is_cut_by_the_time_of_the_end() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let done = |number: u8, seconds| {
        put(&ended(
            operation("fleet", number),
            OperationStatus::Error,
            seconds,
        ))
    };
    owner
        .put(&[done(1, 50), done(2, 40), done(3, 30), done(4, 30)])
        .await;
    let health = OperationRecord {
        definition: Definition::HealthController {
            took_action: Some(false),
        },
        ..operation("fleet", 5)
    };
    owner
        .put(&[put(&ended(health, OperationStatus::Finished, 60))])
        .await;
    assert_eq!(listed(&store, NEWEST).await, ids(&[1, 2, 3, 4]));
    let window = |offset, limit, ascending| Stage::Final {
        offset,
        limit,
        ascending,
    };
    assert_eq!(listed(&store, window(1, 2, false)).await, ids(&[2, 3]));
    assert_eq!(listed(&store, window(0, 2, true)).await, ids(&[4, 3]));
    for far in [700, u64::MAX] {
        let beyond = store
            .operations("fleet", window(far, 3, true))
            .await
            .unwrap();
        assert_eq!((beyond.total, beyond.operations.len()), (4, 0));
    }
    let none = store.operations("fleet", window(0, 0, true)).await.unwrap();
    assert_eq!((none.total, none.operations.len()), (4, 0));
    let told = owner.stored().await.ended;
    assert_eq!(
        told.iter().map(|e| e.id).collect::<Vec<_>>(),
        ids(&[4, 3, 2, 1, 5])
    );
    assert!(told[4].no_action && told[4].periodic && !told[0].no_action);
    // One that expired by itself is deleted from the set by its owner.
    server.ask(&["DEL", &format!("operations:fleet:{}", operation_id(2))]);
    assert_eq!(listed(&store, NEWEST).await, ids(&[1, 3, 4]));
    assert!(
        owner
            .stored()
            .await
            .ended
            .iter()
            .any(|e| e.id == operation_id(2) && e.periodic)
    );
}

#[tokio::test]
async fn operations_of_others_are_told_apart_and_rubbish_is_passed_over() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let queue = "pending_operations:fleet";
    push(&server, 1, &[]);
    push(&server, 2, &["status", "1"]);
    push(&server, 3, &["status", "2"]);
    push(&server, 4, &["status", "17"]);
    push(&server, 5, &["executionHistory", "{"]);
    let waiting = [texts(&[1, 3, 4, 5, 6]), vec!["job-1".into()]].concat();
    for id in &waiting {
        server.ask(&["RPUSH", queue, id]);
    }
    server.ask(&[
        "ZADD",
        "operations:fleet:lists:active",
        "1704067300",
        &texts(&[2])[0],
    ]);
    let store = open(&server).await;
    let (mut owner, loaded) = Owner::of(&store, 1).await;
    let [running, pushed] = &loaded.operations[..] else {
        panic!("{loaded:?}");
    };
    assert_eq!(
        (running.id, running.resume.foreign),
        (operation_id(2), true)
    );
    assert_eq!(running.status_at.as_second(), 1704067300);
    assert_eq!((pushed.id, pushed.resume.pushed), (operation_id(1), true));
    assert_eq!(
        pushed.definition,
        Definition::AddRooms {
            amount: 1,
            version: None
        }
    );
    let odd = |oddity: &Oddity| match oddity {
        Oddity::NoUuid { text, .. } => text.clone(),
        Oddity::Operation { operation, .. } => operation.to_string(),
        other => other.to_string(),
    };
    let odd: Vec<String> = loaded.oddities.iter().map(odd).collect();
    assert_eq!(odd, [vec!["job-1".into()], texts(&[4, 5, 6])].concat());
    // Contract 15.15: an unknown status fails the listing, and the operation itself.
    let listed = store.operations("fleet", Stage::Pending).await;
    assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{listed:?}");
    let one = store
        .operation("fleet", operation_id(4))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        one.contains("status could not be mapped to string: 17"),
        "{one}"
    );

    // What nobody has taken over yet survives a snapshot, and so does what is not ours.
    owner.put(&[put(pushed), put(&operation("fleet", 7))]).await;
    push(&server, 8, &[]);
    server.ask(&["RPUSH", queue, &texts(&[8])[0]]);
    owner
        .put(&[Change::Clear, put(&operation("fleet", 9))])
        .await;
    let left = server.texts(&["LRANGE", queue, "0", "-1"]);
    let expected = [texts(&[3, 4, 5, 6]), vec!["job-1".into()], texts(&[8, 9])].concat();
    assert_eq!(left, expected);
    let open: Vec<_> = owner
        .stored()
        .await
        .operations
        .iter()
        .map(|o| o.id)
        .collect();
    assert_eq!(open, ids(&[8, 9]));

    // A deleted scheduler leaves its deletion, and what is not ours.
    let keep = ended(operation("fleet", 10), OperationStatus::InProgress, 5);
    let deletion = [put(&keep), Change::DeleteScheduler { keep: keep.id }];
    owner.put(&deletion).await;
    assert_eq!(server.texts(&["LRANGE", queue, "0", "-1"]), ["job-1"]);
    assert_eq!(owner.stored().await.operations, [keep]);
    let mut keys = server.texts(&["KEYS", "*"]);
    keys.sort();
    let kept = format!("operations:fleet:{}", operation_id(10));
    let expected = [
        "maestro:fence",
        &journal(&server),
        &kept,
        "operations:fleet:lists:active",
        queue,
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        store.with_open_operations().await.unwrap(),
        ["fleet".into()]
    );
}

/// The key of the only journal. It has the id of a name in it, and not the name.
fn journal(server: &RedisServer) -> String {
    let keys = server.texts(&["KEYS", "maestro:journal:*"]);
    let [key] = keys.as_slice() else {
        panic!("{keys:?}");
    };
    assert!(!key.contains("fleet"));
    key.clone()
}
