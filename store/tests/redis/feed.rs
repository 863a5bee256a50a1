//! What other programs push and cancel is told, soon and once.

use super::support::{Owner, open, put, settings};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use maestro_core::domain::*;
use maestro_core::ports::{Feed, FeedEvent, Stage};
use maestro_store::redis::RedisStore;
use maestro_testkit::contract::store::samples::*;
use maestro_testkit::servers::redis::{Connection, RedisServer, Reply};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const QUEUE: &str = "pending_operations:fleet";

fn write_hash(connection: &mut Connection, id: OperationId) {
    let key = format!("operations:fleet:{id}");
    let fields = [
        "id",
        &id.to_string(),
        "schedulerName",
        "fleet",
        "status",
        "0",
        "definitionName",
        "test_operation",
    ];
    let more = [
        "definitionContents",
        r#"{"sleepSeconds":5}"#,
        "createdAt",
        "2024-01-02T03:04:05Z",
    ];
    let command = [
        &["HSET", key.as_str()],
        &fields[..],
        &more[..],
        &["executionHistory", "null"],
    ]
    .concat();
    connection.ask(&command).unwrap();
}

/// As an operator's tool does it.
fn push(connection: &mut Connection, id: OperationId) {
    write_hash(connection, id);
    connection.ask(&["RPUSH", QUEUE, &id.to_string()]).unwrap();
}

async fn next(events: &mut BoxStream<'static, FeedEvent>) -> FeedEvent {
    let event = timeout(Duration::from_secs(20), events.next()).await;
    event.expect("an event").expect("the feed goes on")
}

async fn next_pushed(events: &mut BoxStream<'static, FeedEvent>) -> OperationRecord {
    match next(events).await {
        FeedEvent::Pushed {
            scheduler,
            operation,
        } => {
            assert_eq!(scheduler, "fleet".into());
            *operation
        }
        other => panic!("{other:?}"),
    }
}

/// Waits until the server has been asked for hints: from then on, pushes are told.
async fn listening(server: &RedisServer) {
    let mut connection = server.connection();
    loop {
        let clients = connection
            .ask(&["CLIENT", "LIST"])
            .unwrap()
            .texts()
            .concat();
        // Tracking and subscribed.
        let listens = |line: &str| line.contains(" sub=1") && line.contains("flags=PtB");
        if clients.lines().any(listens) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushed_operations_are_told_at_once_and_ours_are_not() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let feed = store.feed().await.unwrap();
    let mut events = feed.subscribe();
    listening(&server).await;
    let mut tool = server.connection();
    let mut delays = Vec::new();
    for number in 0..200_u8 {
        let id = operation_id(number);
        write_hash(&mut tool, id);
        let before = Instant::now();
        tool.ask(&["RPUSH", QUEUE, &id.to_string()]).unwrap();
        let record = next_pushed(&mut events).await;
        delays.push(before.elapsed());
        assert_eq!((record.id, record.status), (id, OperationStatus::Pending));
        assert_eq!(
            record.definition,
            Definition::TestOperation { sleep_seconds: 5 }
        );
        // Its owner takes it over: from now on it is one of ours, and so is another that is queued before it.
        let ours = OperationRecord {
            priority: true,
            ..operation("fleet", number)
        };
        let ours = OperationRecord {
            id: OperationId(uuid::Uuid::from_u128(u128::from(number) + 1)),
            ..ours
        };
        owner.put(&[put(&record), put(&ours)]).await;
    }
    delays.sort();
    println!(
        "median {:?}, p99 {:?}, most {:?}",
        delays[100], delays[197], delays[199]
    );
    // Far from the scan of each second; the figure itself is measured where nothing else runs.
    assert!(delays[100] < Duration::from_millis(100), "{delays:?}");
    let page = store.operations("fleet", Stage::Pending).await.unwrap();
    assert_eq!(page.total, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_hash_comes_later_is_waited_for() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let feed = store.feed().await.unwrap();
    let mut events = feed.subscribe();
    listening(&server).await;
    let mut tool = server.connection();
    for id in [
        "job-1",
        &operation_id(1).to_string(),
        &operation_id(2).to_string(),
    ] {
        tool.ask(&["RPUSH", QUEUE, id]).unwrap();
    }
    write_hash(&mut tool, operation_id(2));
    assert_eq!(next_pushed(&mut events).await.id, operation_id(2));
    // Priority ones are pushed at the head; a queue of another name is told to whoever may own it.
    write_hash(&mut tool, operation_id(3));
    tool.ask(&["LPUSH", QUEUE, &operation_id(3).to_string()])
        .unwrap();
    assert_eq!(next_pushed(&mut events).await.id, operation_id(3));
    write_hash(&mut tool, operation_id(1));
    tool.ask(&["RPUSH", QUEUE, "job-2"]).unwrap();
    assert_eq!(next_pushed(&mut events).await.id, operation_id(1));
    let left = server.texts(&["LLEN", QUEUE]);
    assert_eq!(left, ["5"], "nothing is taken from the queue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_hint_is_made_up_for_by_a_scan() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    // The user may not ask for hints.
    server.ask(&[
        "ACL",
        "SETUSER",
        "ann",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-client|tracking",
    ]);
    let url = format!("redis://ann:secret@{}/0", server.address());
    let store = RedisStore::connect(&settings(&url)).await.unwrap();
    let (_, loaded) = Owner::of(&store, 1).await;
    assert!(loaded.operations.is_empty());
    let feed = store.feed().await.unwrap();
    let mut events = feed.subscribe();
    push(&mut server.connection(), operation_id(1));
    assert_eq!(next_pushed(&mut events).await.id, operation_id(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_cancel_are_heard_and_rubbish_is_not() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let feed = store.feed().await.unwrap();
    let (mut one, mut other) = (feed.subscribe(), feed.subscribe());
    listening(&server).await;
    let channel = "scheduler:operation_cancellation_requests";
    let id = operation_id(1);
    let request = format!(r#"{{"schedulerName":"fleet","operationID":"{id}"}}"#);
    for payload in [
        "{",
        r#"{"schedulerName":"fleet","operationID":"job-1"}"#,
        &request,
    ] {
        assert_eq!(server.ask(&["PUBLISH", channel, payload]), Reply::Number(1));
    }
    let expected = FeedEvent::CancelRequested {
        scheduler: "fleet".into(),
        operation: id,
    };
    assert_eq!(next(&mut one).await, expected);
    assert_eq!(next(&mut other).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_loses_nothing() {
    let Some(mut server) =
        RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await
    else {
        return;
    };
    let store = open(&server).await;
    let (_, _) = Owner::of(&store, 1).await;
    let feed = store.feed().await.unwrap();
    let mut events = feed.subscribe();
    listening(&server).await;
    server.kill();
    server.again().await;
    push(&mut server.connection(), operation_id(1));
    assert_eq!(next_pushed(&mut events).await.id, operation_id(1));
    listening(&server).await;
    push(&mut server.connection(), operation_id(2));
    assert_eq!(next_pushed(&mut events).await.id, operation_id(2));
}
