//! The order of writes: epochs, seqs, and a server that forgot them.

use super::support::{Owner, open, put_room};
use maestro_core::domain::*;
use maestro_core::ports::{Change, CommitError, StoreError};
use maestro_testkit::contract::store::samples::*;
use maestro_testkit::servers::redis::RedisServer;

#[tokio::test]
async fn an_earlier_owner_is_refused_while_the_next_one_writes() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut first, loaded) = Owner::of(&store, 1).await;
    assert_eq!(loaded.fence, None);
    first
        .put(&[put_room(&room("r-1", RoomStatus::Ready))])
        .await;
    assert_eq!(
        server.texts(&["HGETALL", "maestro:fence"]),
        ["fleet", "1:1"]
    );

    let other = open(&server).await;
    let (mut next, loaded) = Owner::of(&other, 2).await;
    assert_eq!(loaded.fence, Some((Epoch(1), Seq(1))));
    assert_eq!(loaded.rooms, [room("r-1", RoomStatus::Ready)]);
    assert_eq!(
        server.texts(&["HGETALL", "maestro:fence"]),
        ["fleet", "2:1"]
    );
    let late = first
        .commit(&[put_room(&room("r-2", RoomStatus::Ready))])
        .await;
    assert!(
        matches!(late, Err(CommitError::Fenced { stored: Epoch(2) })),
        "{late:?}"
    );
    next.put(&[put_room(&room("r-3", RoomStatus::Ready))]).await;
    let asked = store.stored_seq(&"fleet".into(), Epoch(1)).await;
    assert!(
        matches!(asked, Err(CommitError::Fenced { stored: Epoch(2) })),
        "{asked:?}"
    );
    assert_eq!(
        other.stored_seq(&"fleet".into(), Epoch(2)).await.unwrap(),
        Seq(2)
    );
    let rooms: Vec<_> = next
        .stored()
        .await
        .rooms
        .into_iter()
        .map(|r| r.id.to_string())
        .collect();
    assert_eq!(rooms, ["r-1", "r-3"]);
    // The earlier owner loads nothing either, and lowers nothing.
    let refused = store
        .load(&[("fleet".into(), Epoch(1)), ("other".into(), Epoch(1))])
        .await;
    assert!(
        matches!(refused[0], Err(StoreError::Fenced { stored: Epoch(2) })),
        "{refused:?}"
    );
    assert!(refused[1].is_ok());
    assert_eq!(server.texts(&["HGET", "maestro:fence", "fleet"]), ["2:2"]);
}

#[tokio::test]
async fn a_batch_out_of_order_is_answered_with_what_is_stored() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let first = owner.fence.clone();
    owner
        .put(&[put_room(&room("r-1", RoomStatus::Ready))])
        .await;
    for previous in [0, 2] {
        let mut fence = first.clone();
        fence.previous = Seq(previous);
        let refused = store
            .commit(&fence, &[put_room(&room("r-2", RoomStatus::Ready))])
            .await;
        assert!(
            matches!(refused, Err(CommitError::Behind { stored: Seq(1) })),
            "{refused:?}"
        );
    }
    assert_eq!(owner.stored().await.rooms.len(), 1);
    owner.put(&[]).await;
    assert_eq!(
        store.stored_seq(&"fleet".into(), Epoch(1)).await.unwrap(),
        Seq(2)
    );
}

#[tokio::test]
async fn a_server_that_forgot_everything_is_filled_again() {
    let Some(mut server) = RedisServer::start(&[]).await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 7).await;
    let rooms = [
        room("r-1", RoomStatus::Ready),
        room("r-2", RoomStatus::Allocated),
    ];
    owner.put(&[put_room(&rooms[0]), put_room(&rooms[1])]).await;
    owner.put(&[]).await;
    server.kill();
    let lost = owner.commit(&[Change::DeleteRoom("r-1".into())]).await;
    assert!(
        matches!(
            lost,
            Err(CommitError::NotApplied(_) | CommitError::Unknown(_))
        ),
        "{lost:?}"
    );
    server.again().await;
    let refused = loop {
        match owner.commit(&[Change::DeleteRoom("r-1".into())]).await {
            Err(CommitError::NotApplied(_) | CommitError::Unknown(_)) => {
                tokio::task::yield_now().await
            }
            other => break other,
        }
    };
    assert!(
        matches!(refused, Err(CommitError::Behind { stored: Seq(0) })),
        "{refused:?}"
    );
    // Reads have a connection of their own.
    while store.check().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        store.stored_seq(&"fleet".into(), Epoch(7)).await.unwrap(),
        Seq(0)
    );
    owner.fence.previous = Seq(0);
    // Without its fence nobody can write, not even the whole.
    let refused = owner.commit(&[Change::Clear]).await;
    assert!(
        matches!(refused, Err(CommitError::Behind { stored: Seq(0) })),
        "{refused:?}"
    );
    let owned = [("fleet".into(), Epoch(7))];
    assert_eq!(store.raise(&owned).await.unwrap().len(), 1);
    owner
        .put(&[Change::Clear, put_room(&rooms[0]), put_room(&rooms[1])])
        .await;
    assert_eq!(owner.stored().await.rooms, rooms);
    assert_eq!(server.texts(&["HGET", "maestro:fence", "fleet"]), ["7:3"]);
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_given_them_again() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    owner
        .put(&[put_room(&room("r-1", RoomStatus::Ready))])
        .await;
    server.ask(&["SCRIPT", "FLUSH"]);
    owner
        .put(&[put_room(&room("r-2", RoomStatus::Ready))])
        .await;
    server.ask(&["SCRIPT", "FLUSH"]);
    let counts = store.room_counts(&["nobody", "fleet"]).await.unwrap();
    assert_eq!((counts[0].total(), counts[1].of(RoomStatus::Ready)), (0, 2));
    // What somebody left under the key of one does not hide the rooms of the others.
    server.ask(&["SET", "scheduler:broken:status", "x"]);
    let counts = store.room_counts(&["broken", "fleet"]).await.unwrap();
    assert_eq!((counts[0].total(), counts[1].of(RoomStatus::Ready)), (0, 2));
}

#[tokio::test]
async fn a_fence_is_forgotten_unless_it_has_a_later_owner() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let names = ["gone", "taken"];
    let at = |epochs: [u64; 2]| -> Vec<_> {
        let both = names.iter().zip(epochs);
        both.map(|(name, epoch)| (SchedulerName::from(*name), Epoch(epoch)))
            .collect()
    };
    store.raise(&at([3, 4])).await.unwrap();
    server.ask(&["HSET", "maestro:fence", "odd", "what is this"]);
    let mut forgotten = at([3, 3]);
    forgotten.push(("odd".into(), Epoch(9)));
    store.forget_fences(&forgotten).await.unwrap();
    let mut left = server.texts(&["HKEYS", "maestro:fence"]);
    left.sort();
    assert_eq!(left, ["odd", "taken"]);
}
