//! Rooms as they are stored, changed in parts, and passed over when something is missing.

use super::support::{Owner, open, put_room};
use maestro_core::domain::*;
use maestro_core::ports::Change;
use maestro_store::redis::{Ghost, Oddity};
use maestro_testkit::contract::store::samples::*;
use maestro_testkit::servers::redis::RedisServer;
use std::collections::BTreeMap;

fn hash(server: &RedisServer, key: &str) -> BTreeMap<String, String> {
    let texts = server.texts(&["HGETALL", key]);
    let pair = |pair: &[String]| (pair[0].clone(), pair[1].clone());
    texts.chunks(2).map(pair).collect()
}

fn scores(server: &RedisServer, key: &str) -> Vec<String> {
    server.texts(&["ZRANGE", key, "0", "-1", "WITHSCORES"])
}

#[tokio::test]
async fn a_room_is_what_the_contract_says() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let mut one = room("r-1", RoomStatus::Ready);
    one.intent.allocated_at = Some(at(9));
    owner.put(&[put_room(&one)]).await;
    let second = |seconds| at(seconds).as_second().to_string();
    assert_eq!(scores(&server, "scheduler:fleet:status"), ["r-1", "2"]);
    assert_eq!(scores(&server, "scheduler:fleet:ping"), ["r-1", &second(2)]);
    assert_eq!(scores(&server, "scheduler:fleet:occupancy"), ["r-1", "0"]);
    let expected = [
        ("allocated_at", second(9)),
        ("created_at", second(1)),
        ("is_validation_room", "0".into()),
        ("metadata", r#"{"mode":"ranked \"1v1\""}"#.into()),
        ("ping_status", "1".into()),
        ("version", "v1.0.0".into()),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(
        hash(&server, "scheduler:fleet:rooms:r-1"),
        BTreeMap::from(expected)
    );
    let pod = server
        .texts(&["HGET", "scheduler:fleet:podMap", "r-1"])
        .concat();
    let contract = concat!(
        r#"{"id":"r-1","schedulerId":"fleet","status":{"type":2,"description":""},"#,
        r#""address":{"host":"127.0.0.1","ports":[]},"resourceVersion":"7","maestro":{"#,
    );
    assert!(pod.starts_with(contract), "{pod}");
    // Only what changes is written, and what no longer holds goes.
    server.ask(&["HSET", "scheduler:fleet:rooms:r-1", "version", "v9.9.9"]);
    one.intent.allocated_at = None;
    one.reported.status = RoomStatus::Occupied;
    one.reported.matches = 3;
    one.reported.metadata = None;
    owner.put(&[put_room(&one)]).await;
    let written = hash(&server, "scheduler:fleet:rooms:r-1");
    assert_eq!(written["version"], "v9.9.9", "it was not written again");
    assert_eq!(
        (written["metadata"].as_str(), written.get("allocated_at")),
        ("null", None)
    );
    assert_eq!(scores(&server, "scheduler:fleet:status"), ["r-1", "3"]);
    assert_eq!(scores(&server, "scheduler:fleet:occupancy"), ["r-1", "3"]);
    one.intent.version = "v9.9.9".into();
    assert_eq!(owner.stored().await.rooms[0].reported, one.reported);
    owner
        .put(&[
            Change::DeleteRoom(one.id.clone()),
            Change::DeleteRoom("r-2".into()),
        ])
        .await;
    assert_eq!(server.texts(&["KEYS", "*"]), ["maestro:fence"]);
}

#[tokio::test]
async fn a_room_deleted_and_made_again_in_one_batch_is_whole() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let mut one = room("r-1", RoomStatus::Ready);
    owner.put(&[put_room(&one)]).await;
    one.reported.status = RoomStatus::Error;
    let changes = [
        Change::DeleteRoom(one.id.clone()),
        put_room(&room("r-1", RoomStatus::Pending)),
        put_room(&one),
    ];
    owner.put(&changes).await;
    assert_eq!(owner.stored().await.rooms, [one.clone()]);
    // Somebody deleted its hash, so that a part of it would be a ghost.
    server.ask(&["DEL", "scheduler:fleet:rooms:r-1"]);
    one.reported.metadata = None;
    owner.put(&[put_room(&one)]).await;
    assert_eq!(owner.stored().await.rooms, [one]);
}

#[tokio::test]
async fn steady_pings_change_only_rooms_that_are_there() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let mut one = room("r-1", RoomStatus::Ready);
    owner.put(&[put_room(&one)]).await;
    let touch = |room: &str, seconds, metadata: &str| RoomTouch {
        room: room.into(),
        last_ping_at: at(seconds),
        matches: 2,
        ping: PingStatus::Occupied,
        metadata: Some(metadata.into()),
    };
    let touches = vec![touch("r-1", 60, "{}"), touch("gone", 60, "{}")];
    one.reported.touch(&touches[0]);
    owner.put(&[Change::TouchRooms(touches)]).await;
    assert_eq!(owner.stored().await.rooms, [one.clone()]);
    assert_eq!(
        server.texts(&["EXISTS", "scheduler:fleet:rooms:gone"]),
        ["0"]
    );
    // Metadata that did not change is not written.
    server.ask(&[
        "HSET",
        "scheduler:fleet:rooms:r-1",
        "metadata",
        "{\"mine\":1}",
    ]);
    owner
        .put(&[Change::TouchRooms(vec![touch("r-1", 61, "{}")])])
        .await;
    let written = hash(&server, "scheduler:fleet:rooms:r-1");
    assert_eq!(written["metadata"], "{\"mine\":1}");
    assert_eq!(
        scores(&server, "scheduler:fleet:ping")[1],
        at(61).as_second().to_string()
    );
    let many = (0..256)
        .map(|n| touch(&format!("r-{n}"), 62, "{}"))
        .collect();
    owner.put(&[Change::TouchRooms(many)]).await;
    assert_eq!(owner.stored().await.rooms.len(), 1);
}

#[tokio::test]
async fn what_is_no_room_is_passed_over_and_reported() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let store = open(&server).await;
    let (mut owner, _) = Owner::of(&store, 1).await;
    let good = room("r-1", RoomStatus::Ready);
    let rooms = ["r-2", "r-3", "r-4", "r-5"].map(|id| put_room(&room(id, RoomStatus::Ready)));
    owner.put(&[put_room(&good)]).await;
    owner.put(&rooms).await;
    server.ask(&["ZREM", "scheduler:fleet:status", "r-2"]);
    server.ask(&["DEL", "scheduler:fleet:rooms:r-3"]);
    server.ask(&["HSET", "scheduler:fleet:podMap", "r-4", "{", "left", "{}"]);
    server.ask(&["ZADD", "scheduler:fleet:status", "17", "r-5"]);
    let stored = owner.stored().await;
    assert_eq!(stored.rooms, [good]);
    let room_of = |oddity: &Oddity| match oddity {
        Oddity::Room { room, reason } => format!("{room} {reason}"),
        other => other.to_string(),
    };
    let oddities: Vec<_> = stored.oddities.iter().map(room_of).collect();
    let expected = [
        format!("r-2 {}", Ghost::NotInSet("status")),
        format!("r-3 {}", Ghost::NoHash),
        "r-4 its podMap \"{\" cannot be read".to_owned(),
        "r-5 its status \"17\" cannot be read".to_owned(),
        "podMap has an instance of left, which is no room".to_owned(),
    ];
    assert_eq!(oddities, expected);
    // The next owner deletes what belongs to no room, and leaves what cannot be read.
    let (mut owner, _) = Owner::of(&store, 2).await;
    owner.put(&[]).await;
    let oddities: Vec<_> = owner.stored().await.oddities.iter().map(room_of).collect();
    assert_eq!(oddities, [expected[2].clone(), expected[3].clone()]);
    assert_eq!(
        server.texts(&["EXISTS", "scheduler:fleet:rooms:r-2"]),
        ["0"]
    );
    // A snapshot replaces all of it.
    owner
        .put(&[Change::Clear, put_room(&room("r-9", RoomStatus::Ready))])
        .await;
    let stored = owner.stored().await;
    assert_eq!((stored.rooms.len(), stored.oddities.len()), (1, 0));
    let mut left = server.texts(&["KEYS", "scheduler:fleet:rooms:*"]);
    left.sort();
    assert_eq!(left, ["scheduler:fleet:rooms:r-9"]);
}

/// Rooms are written in parts: whatever the order of changes, what is stored is what the owner has.
#[tokio::test]
async fn parts_of_rooms_add_up_to_the_whole() {
    let Some(server) = RedisServer::any().await else {
        return;
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut store = open(&server).await;
    let mut model: BTreeMap<RoomId, RoomRecord> = BTreeMap::new();
    let mut epoch = 1;
    for _ in 0..60 {
        let (mut owner, loaded) = Owner::of(&store, epoch).await;
        assert_eq!(loaded.rooms, model.values().cloned().collect::<Vec<_>>());
        for _ in 0..random.usize(1..8) {
            let changes: Vec<Change> = (0..random.usize(1..5))
                .map(|_| random_change(&mut random, &mut model))
                .collect();
            owner.put(&changes).await;
            let stored = owner.stored().await;
            assert_eq!(
                stored.rooms,
                model.values().cloned().collect::<Vec<_>>(),
                "{changes:?}"
            );
            assert_eq!(stored.oddities, []);
        }
        // The same store goes on, or another one.
        epoch += u64::from(random.bool());
        if random.u8(..5) == 0 {
            store = open(&server).await;
        }
    }
}

fn random_change(random: &mut fastrand::Rng, model: &mut BTreeMap<RoomId, RoomRecord>) -> Change {
    let id = RoomId::from(format!("r-{}", random.u8(..4)));
    let metadata = [None, Some("{}".into()), Some(r#"{"a":1}"#.into())][random.usize(..3)].clone();
    let seconds = random.i64(0..3);
    match random.u8(..10) {
        0 => {
            model.remove(&id);
            Change::DeleteRoom(id)
        }
        1 if random.u8(..4) == 0 => {
            model.clear();
            Change::Clear
        }
        2..=4 => {
            let touch = RoomTouch {
                room: id,
                last_ping_at: at(seconds),
                matches: random.i64(0..2),
                ping: [PingStatus::Ready, PingStatus::Occupied][random.usize(..2)],
                metadata,
            };
            if let Some(room) = model.get_mut(&touch.room) {
                room.reported.touch(&touch);
            }
            Change::TouchRooms(vec![touch])
        }
        _ => {
            let new = || room(id.as_str(), RoomStatus::Pending);
            let mut room = model.get(&id).cloned().unwrap_or_else(new);
            room.reported.status = RoomStatus::ALL[random.usize(..9)];
            room.reported.metadata = metadata;
            room.intent.allocated_at = random.bool().then(|| at(seconds));
            if random.u8(..3) == 0 {
                room.intent.created_at = at(seconds);
                room.instance = None;
            }
            model.insert(id, room.clone());
            put_room(&room)
        }
    }
}
