//! A full server, lost connections, keys of another type: a batch is applied as a whole or not at all.

use super::support::{Owner, open, put, put_room, settings};
use maestro_core::domain::*;
use maestro_core::ports::{Change, CommitError, Stage, StoreError};
use maestro_store::redis::{RedisSettings, RedisStore};
use maestro_testkit::contract::store::samples::*;
use maestro_testkit::eventually;
use maestro_testkit::proxy::{Network, Proxy};
use maestro_testkit::servers::redis::RedisServer;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Far longer than a replaced connection takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(30);

fn refused(result: Result<(), CommitError>, word: &str) {
    let Err(CommitError::NotApplied(cause)) = result else {
        panic!("{result:?}");
    };
    assert!(cause.text().contains(word), "{cause}");
}

#[tokio::test]
async fn a_full_server_takes_nothing_of_a_batch() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    owner
        .put(&[put_room(&room("r-1", RoomStatus::Ready))])
        .await;
    server.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let changes = [
        Change::DeleteRoom("r-1".into()),
        put_room(&room("r-2", RoomStatus::Ready)),
    ];
    refused(owner.commit(&changes).await, "maxmemory");
    assert_eq!(
        store.stored_seq(&"fleet".into(), Epoch(1)).await.unwrap(),
        Seq(1)
    );
    assert_eq!(owner.stored().await.rooms.len(), 1);
    // An outage is not over because reads are answered.
    let (answers, takes) = (store.check().await, store.takes_changes().await);
    assert!(answers.is_ok() && takes.is_err(), "{answers:?} {takes:?}");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    owner.put(&changes).await;
    assert_eq!(owner.stored().await.rooms[0].id, "r-2".into());
}

#[tokio::test]
async fn a_key_of_another_type_refuses_the_whole_batch_and_stops_no_other() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    server.ask(&["SET", "operations:fleet:lists:history", "mine"]);
    let done = ended(operation("fleet", 1), OperationStatus::Error, 9);
    let changes = [put_room(&room("r-1", RoomStatus::Ready)), put(&done)];
    refused(
        owner.commit(&changes).await,
        "operations:fleet:lists:history is a string",
    );
    assert_eq!(server.texts(&["EXISTS", "scheduler:fleet:status"]), ["0"]);
    let loaded = store
        .load(&[("fleet".into(), Epoch(1)), ("other".into(), Epoch(1))])
        .await;
    assert!(
        matches!(loaded[0], Err(StoreError::Corrupt(_))),
        "{loaded:?}"
    );
    assert!(loaded[1].is_ok());
    let listed = store
        .operations(
            "fleet",
            Stage::Final {
                offset: 0,
                limit: 1,
                ascending: true,
            },
        )
        .await;
    assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{listed:?}");
    server.ask(&["DEL", "operations:fleet:lists:history"]);
    owner.put(&changes).await;
    // The same for the fence.
    server.ask(&["HSET", "maestro:fence", "fleet", "rubbish"]);
    refused(owner.commit(&[]).await, "HDEL maestro:fence fleet");
    let loaded = store.load(&[("fleet".into(), Epoch(2))]).await;
    assert!(
        matches!(loaded[0], Err(StoreError::Corrupt(_))),
        "{loaded:?}"
    );
}

#[tokio::test]
async fn a_replica_and_a_user_without_rights_change_nothing() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    refused(
        owner
            .commit(&[put_room(&room("r-1", RoomStatus::Ready))])
            .await,
        "replica",
    );
    server.ask(&["REPLICAOF", "NO", "ONE"]);
    owner
        .put(&[put_room(&room("r-1", RoomStatus::Ready))])
        .await;
    server.ask(&["ACL", "SETUSER", "default", "-evalsha"]);
    refused(
        owner
            .commit(&[put_room(&room("r-2", RoomStatus::Ready))])
            .await,
        "rights",
    );
    server.ask(&["ACL", "SETUSER", "default", "+evalsha"]);
    owner.put(&[]).await;
    assert_eq!(owner.stored().await.rooms.len(), 1);
}

/// What the script cannot look at before its first write is a command that the server refuses.
#[tokio::test]
async fn a_batch_that_fails_halfway_counts_as_not_applied() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    owner
        .put(&[put_room(&room("r-1", RoomStatus::Ready))])
        .await;
    let changes = [
        put_room(&room("r-2", RoomStatus::Ready)),
        Change::DeleteRoom("r-1".into()),
    ];
    server.ask(&["ACL", "SETUSER", "default", "-unlink"]);
    let failed = owner.commit(&changes).await;
    assert!(failed.is_err(), "{failed:?}");
    let seq = store.stored_seq(&"fleet".into(), Epoch(1)).await;
    assert_eq!(seq.unwrap(), Seq(1), "its writer tries it again");
    server.ask(&["ACL", "SETUSER", "default", "+unlink"]);
    owner.put(&changes).await;
    let rooms = owner.stored().await.rooms;
    assert_eq!(rooms.len(), 1);
    assert_eq!(rooms[0].id, "r-2".into());
}

/// Connections are cut again and again while batches are written: the stored seq says what became of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_decided_by_the_stored_seq() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let (mut unknown, mut total) = (0, 0);
    while unknown < 5 && total < 2000 {
        total += 1;
        let id = format!("r-{total}");
        let changes = [put_room(&room(&id, RoomStatus::Ready))];
        let fence = owner.fence.clone();
        let cut = async {
            tokio::task::yield_now().await;
            server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        };
        let (result, ()) = tokio::join!(owner.commit(&changes), cut);
        let mut outcome = result;
        loop {
            match outcome {
                Ok(()) => break,
                Err(CommitError::NotApplied(_)) => outcome = owner.commit(&changes).await,
                Err(CommitError::Unknown(_)) => {
                    unknown += 1;
                    let seq = loop {
                        match store.stored_seq(&fence.scheduler, fence.epoch).await {
                            Ok(seq) => break seq,
                            Err(CommitError::Unknown(_)) => tokio::task::yield_now().await,
                            Err(other) => panic!("{other:?}"),
                        }
                    };
                    if seq == fence.seq {
                        owner.fence.previous = fence.seq;
                        owner.fence.seq = fence.seq.next();
                        break;
                    }
                    assert_eq!(seq, fence.previous);
                    outcome = owner.commit(&changes).await;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(owner.fence.previous, Seq(total));
    let stored = loop {
        match store.stored(&[&owner.fence.scheduler]).await {
            Ok(mut stored) => break stored.remove(0).unwrap(),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(stored.rooms.len() as u64, total);
}

/// The network loses its connections, and says so to neither side. Nothing goes on before they are replaced, although
/// they are written to all the time.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_replaced_while_they_are_in_use() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let url = server.url().replace(server.address(), &proxy.address());
    let store = RedisStore::connect(&settings(&url)).await.unwrap();
    let (mut owner, _) = Owner::of(&store, 1).await;
    proxy.set(Network::Loses);
    let lost = store.stored_seq(&"fleet".into(), Epoch(1)).await;
    assert!(matches!(lost, Err(CommitError::Unknown(_))), "{lost:?}");
    proxy.set(Network::Works);
    let until = Instant::now() + Duration::from_secs(20);
    while let Err(error) = owner.commit(&[]).await {
        assert!(Instant::now() < until, "{error}");
    }
    // Reads have a connection of their own.
    while let Err(error) = store.check().await {
        assert!(Instant::now() < until, "{error}");
    }
    owner.stored().await;
}

/// Commits until it is known why nothing is written. None of them may wait for an answer once the connection has ended.
async fn refused_at_once(owner: &mut Owner<'_>, within: Duration) {
    let until = Instant::now() + within;
    loop {
        let begun = Instant::now();
        let outcome = owner.commit(&[]).await;
        match &outcome {
            Err(CommitError::NotApplied(cause)) => {
                let took = begun.elapsed();
                assert!(took < Duration::from_millis(500), "{took:?}: {cause}");
                if cause.text().contains("cannot be reached") {
                    assert!(cause.text().ends_with("it is tried again and again"));
                    return;
                }
            }
            // Its end is not noticed yet.
            Err(CommitError::Unknown(_)) => {}
            other => panic!("{other:?}"),
        }
        assert!(Instant::now() < until, "{outcome:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_nothing_waits_and_the_cause_is_said() {
    let Some(mut server) = RedisServer::start(&[]).await else {
        return;
    };
    // The second one has a single connection for everything.
    let stores = [
        open(&server).await,
        RedisStore::connect(&RedisSettings {
            pool_size: 1,
            ..settings(&server.url())
        })
        .await
        .unwrap(),
    ];
    for epoch in [1, 2] {
        let (mut owner, _) = Owner::of(&stores[epoch - 1], epoch as u64).await;
        owner.put(&[]).await;
    }
    server.kill();
    for (store, epoch) in stores.iter().zip([1, 2]) {
        let mut owner = Owner {
            store,
            fence: maestro_core::ports::Fence {
                scheduler: "fleet".into(),
                epoch: Epoch(epoch),
                previous: Seq(epoch),
                seq: Seq(epoch + 1),
            },
        };
        refused_at_once(&mut owner, Duration::from_secs(20)).await;
        let begun = Instant::now();
        let raised = store.raise(&[("fleet".into(), Epoch(3))]).await;
        assert!(matches!(raised, Err(StoreError::Unavailable(_))));
        let seq = store.stored_seq(&"fleet".into(), Epoch(2)).await;
        assert!(matches!(seq, Err(CommitError::Unknown(_))), "{seq:?}");
        assert!(store.takes_changes().await.is_err());
        let is_shared = epoch == 2;
        if is_shared {
            assert!(store.check().await.is_err());
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
        // A connection that connects again by itself finds out with its next command.
        assert!(store.check().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_that_was_given_up_refuses_at_once() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let url = server.url().replace(server.address(), &proxy.address());
    let store = RedisStore::connect(&settings(&url)).await.unwrap();
    let (mut owner, _) = Owner::of(&store, 1).await;
    owner.put(&[]).await;
    proxy.set(Network::Loses);
    refused_at_once(&mut owner, Duration::from_secs(30)).await;
}

/// The numbers of a server's clients, beside the one that asks and other servers.
fn clients(server: &RedisServer) -> BTreeSet<String> {
    let mut asking = server.connection();
    let own = asking.ask(&["CLIENT", "ID"]).unwrap().texts().concat();
    let mut found = BTreeSet::new();
    for kind in ["normal", "pubsub"] {
        let listed = asking.ask(&["CLIENT", "LIST", "TYPE", kind]).unwrap();
        let listed = listed.texts().concat();
        let numbers = listed
            .lines()
            .filter_map(|line| line.strip_prefix("id=")?.split(' ').next());
        found.extend(numbers.filter(|id| *id != own).map(str::to_owned));
    }
    found
}

/// The former primary lives on as a replica, and keeps its clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_planned_fail_over_takes_all_connections_along() {
    let (Some(first), Some(second)) =
        (RedisServer::start(&[]).await, RedisServer::start(&[]).await)
    else {
        return;
    };
    let follows = |server: &RedisServer, primary: &RedisServer| {
        let (host, port) = primary.address().rsplit_once(':').unwrap();
        server.ask(&["REPLICAOF", host, port]);
    };
    let proxy = Proxy::start(first.address()).await;
    let url = first.url().replace(first.address(), &proxy.address());
    let store = RedisStore::connect(&settings(&url)).await.unwrap();
    let _feed = store.feed().await.unwrap();
    let (mut owner, _) = Owner::of(&store, 1).await;
    owner
        .put(&[put_room(&room("r-1", RoomStatus::Ready))])
        .await;
    let before = clients(&first);
    assert_eq!(before.len(), 3, "changes, reads, and the feed");
    follows(&second, &first);
    eventually(LONG, "it has everything", || {
        let rooms = second.texts(&["EXISTS", "scheduler:fleet:status"]);
        rooms == ["1"]
    })
    .await;
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    follows(&first, &second);
    refused(owner.commit(&[]).await, "READONLY");
    // A replica that nothing else is known of keeps them.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(before.is_subset(&clients(&first)));
    proxy.lead_to(second.address());
    let until = Instant::now() + LONG;
    while let Err(error) = owner.commit(&[]).await {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually(LONG, "reads and the feed follow", || {
        clients(&first).is_empty()
    })
    .await;
    eventually(LONG, "they are there", || clients(&second).len() >= 3).await;
    assert_eq!(owner.stored().await.rooms.len(), 1);
}
