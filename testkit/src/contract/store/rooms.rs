//! Rooms, their counts, and steady pings.

use super::{
    harness::{Harness, Owner},
    samples::*,
};
use maestro_core::{
    domain::*,
    ports::{Change, RoomCounts},
};

fn put(id: &str, status: RoomStatus) -> Change {
    Change::PutRoom(Box::new(room(id, status)))
}

fn touch(id: &str) -> RoomTouch {
    RoomTouch {
        room: id.into(),
        last_ping_at: at(77),
        matches: 2,
        ping: PingStatus::Occupied,
        metadata: None,
    }
}

pub async fn rooms_are_counted_by_status(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let rooms = [
        ("r-1", RoomStatus::Pending),
        ("r-2", RoomStatus::Ready),
        ("r-3", RoomStatus::Ready),
        ("r-4", RoomStatus::Allocated),
    ];
    owner
        .put(rooms.map(|(id, status)| put(id, status)).into())
        .await;
    let counts = ports.reads.room_counts(&["fleet"]).await.unwrap().remove(0);
    assert_eq!(counts.of(RoomStatus::Pending), 1);
    assert_eq!(counts.of(RoomStatus::Ready), 2);
    assert_eq!(counts.of(RoomStatus::Allocated), 1);
    assert_eq!(counts.total(), 4);

    let changes = vec![
        put("r-2", RoomStatus::Occupied),
        put("r-3", RoomStatus::Ready),
        Change::DeleteRoom("r-1".into()),
        Change::DeleteRoom("r-1".into()),
        Change::DeleteRoom("never".into()),
    ];
    owner.put(changes).await;
    let counts = ports.reads.room_counts(&["fleet"]).await.unwrap().remove(0);
    assert_eq!(counts.of(RoomStatus::Pending), 0);
    assert_eq!(counts.of(RoomStatus::Ready), 1);
    assert_eq!(counts.of(RoomStatus::Occupied), 1);
    assert_eq!(counts.total(), 3);
    let none = ports.reads.room_counts(&["other"]).await.unwrap().remove(0);
    assert_eq!(none, RoomCounts::default());
}

pub async fn the_address_of_a_room_is_read_without_its_owner(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let made = room("r-1", RoomStatus::Ready);
    let address = made.address().map(|address| (**address).clone());
    assert!(address.is_some());
    let mut unmade = room("r-2", RoomStatus::Pending);
    unmade.instance = None;
    let rooms = [made, unmade].map(|room| Change::PutRoom(Box::new(room)));
    owner.put(rooms.into()).await;
    let read = async |fleet: &str, room: &str| ports.reads.room_address(fleet, room).await.unwrap();
    assert_eq!(read("fleet", "r-1").await, Some(address));
    assert_eq!(read("fleet", "r-2").await, Some(None));
    assert_eq!(read("fleet", "r-3").await, None);
    assert_eq!(read("other", "r-1").await, None);
}

pub async fn a_touch_changes_what_a_steady_ping_says(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    owner.put(vec![put("r-1", RoomStatus::Occupied)]).await;
    owner
        .put(vec![Change::TouchRooms(vec![touch("r-1")])])
        .await;
    let mut expected = room("r-1", RoomStatus::Occupied);
    expected.reported = RoomReport {
        last_ping_at: at(77),
        matches: 2,
        ping: PingStatus::Occupied,
        metadata: None,
        ..expected.reported
    };
    assert_eq!(owner.load().await.rooms, [expected]);
    let counts = ports.reads.room_counts(&["fleet"]).await.unwrap().remove(0);
    assert_eq!(counts.of(RoomStatus::Occupied), 1);
    // Writing a whole record overwrites earlier pings.
    owner.put(vec![put("r-1", RoomStatus::Ready)]).await;
    let rooms = owner.load().await.rooms;
    assert_eq!(rooms, [room("r-1", RoomStatus::Ready)]);
}

pub async fn a_touch_of_a_room_that_is_gone_is_passed_over(harness: &dyn Harness) {
    let ports = harness.open().await;
    let mut owner = Owner::of(&ports, "fleet").await;
    let changes = vec![put("r-1", RoomStatus::Ready), put("r-2", RoomStatus::Ready)];
    owner.put(changes).await;
    owner.put(vec![Change::DeleteRoom("r-1".into())]).await;
    let touches = vec![touch("r-1"), touch("r-2"), touch("never")];
    owner.put(vec![Change::TouchRooms(touches)]).await;
    let rooms = owner.load().await.rooms;
    assert_eq!(rooms.len(), 1);
    assert_eq!(rooms[0].reported.matches, 2);
    let counts = ports.reads.room_counts(&["fleet"]).await.unwrap().remove(0);
    assert_eq!(counts.total(), 1);
}
