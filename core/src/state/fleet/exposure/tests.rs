use super::*;
use crate::state::fleet::room::{Marks, Room};
use proptest::prelude::*;

const ROOMS: usize = 40;

/// What may happen to the room with this number, or to all.
#[derive(Clone, Debug)]
enum Step {
    Status(usize, RoomStatus),
    Comes(usize, bool),
    Goes(usize),
    Silent(usize, bool),
    Another(usize),
    Activate(bool),
    Order(bool),
    Ends(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let room = 0..ROOMS;
    let status = prop_oneof![
        3 => Just(RoomStatus::Ready),
        2 => Just(RoomStatus::Occupied),
        1 => Just(RoomStatus::Allocated),
        1 => Just(RoomStatus::Terminating),
    ];
    let step = prop_oneof![
        8 => (room.clone(), status).prop_map(|(room, status)| Step::Status(room, status)),
        4 => (room.clone(), any::<bool>()).prop_map(|(room, new)| Step::Comes(room, new)),
        2 => room.clone().prop_map(Step::Goes),
        2 => (room.clone(), any::<bool>()).prop_map(|(room, is)| Step::Silent(room, is)),
        1 => room.prop_map(Step::Another),
        1 => any::<bool>().prop_map(Step::Activate),
        4 => prop::bool::weighted(0.1).prop_map(Step::Order),
        4 => prop::bool::weighted(0.9).prop_map(Step::Ends),
    ];
    prop::collection::vec(step, 1..300)
}

fn id(room: usize) -> RoomId {
    format!("room-{room:02}").as_str().into()
}

fn version(is_new: bool) -> SchedulerVersion {
    let text = if is_new { "v2.0.0" } else { "v1.0.0" };
    text.into()
}

fn ready(room: usize, is_new: bool) -> Room {
    let wall = "2026-01-02T03:04:05Z".parse().unwrap();
    let mut record = RoomRecord::new(id(room), RoomIntent::new(version(is_new), wall));
    record.reported.status = RoomStatus::Ready;
    // Room 7 tries a version.
    record.intent.validation = room == 7;
    record.instance = Some(Instance {
        room: id(room),
        uid: "u".into(),
        version: version(is_new),
        status: InstanceStatus::Ready,
        validation: false,
        description: "".into(),
        restarting: None,
        trouble: None,
        address: Some(std::sync::Arc::new(Address {
            host: "h".into(),
            ports: Vec::new(),
        })),
        resource_version: 1,
    });
    let now = Mono::default();
    Room {
        record,
        clock: RoomClock {
            created: now,
            last_ping: now,
            allocated: None,
            first_ready: None,
            status_since: now,
        },
        was_ready: true,
        restart_since: None,
        quarantined_until: None,
        terminated_at: None,
        untold: None,
        made_at: None,
        events: RoomEvents::default(),
        marks: Marks::default(),
    }
}

/// As the rules say, by looking at all rooms.
fn expected(rooms: &RoomTable, settings: ProtectionSettings) -> BTreeSet<RoomId> {
    let counted = |room: &&Room| !room.record.intent.validation && room.may_be_busy();
    let busy = rooms.iter().filter(counted).map(|r| r.record.id.clone());
    let mut busy: BTreeSet<RoomId> = busy.collect();
    let mut next: Vec<Place> = rooms
        .iter()
        .filter_map(|room| rooms.place_of(&room.record.id))
        .collect();
    next.sort();
    let fleet = Exposed {
        busy: busy.len(),
        ready: next.len(),
        rooms: rooms.counts().total() as usize,
    };
    let found = protected(fleet, settings.safety, settings.single);
    if !found.busy {
        busy.clear();
    }
    busy.extend(next.into_iter().take(found.share).map(|(_, _, id)| id));
    busy
}

proptest! {
    #[test]
    fn what_follows_the_changes_is_what_a_look_at_all_rooms_finds(
        steps in steps(), safety in 0.0f64..1.2, single: bool,
    ) {
        let settings = ProtectionSettings { interval: Default::default(), safety, single };
        let mut rooms = RoomTable::default();
        rooms.note_moves();
        rooms.set_active(&version(false));
        let mut exposure = Exposure::default();
        // What the runtime has, if each order that is confirmed was carried out.
        let mut protected = BTreeSet::new();
        let mut under_way: Option<Protection> = None;
        let mut failed = false;
        for step in steps {
            match step {
                Step::Status(room, status) => {
                    rooms.update(id(room).as_str(), |room| room.record.reported.status = status);
                }
                Step::Comes(room, is_new) if rooms.get(id(room).as_str()).is_none() => {
                    rooms.insert(ready(room, is_new));
                }
                Step::Goes(room) => {
                    rooms.remove(id(room).as_str());
                    protected.remove(&id(room));
                }
                Step::Silent(room, true) => rooms.pass_over(id(room).as_str()),
                Step::Silent(room, false) => rooms.heard(id(room).as_str()),
                Step::Another(room) if rooms.get(id(room).as_str()).is_some() => {
                    exposure.is_another(&id(room));
                    protected.remove(&id(room));
                }
                Step::Activate(is_new) => rooms.set_active(&version(is_new)),
                Step::Order(all) if under_way.is_none() && (all || !failed) => {
                    under_way = Some(exposure.order(all));
                }
                Step::Ends(is_success) => if let Some(order) = under_way.take() {
                    failed = !is_success;
                    if is_success {
                        exposure.succeeded();
                    }
                    if order.all {
                        protected.clear();
                    }
                    let is_there = |id: &&RoomId| rooms.get(id.as_str()).is_some();
                    protected.retain(|id| !order.off.contains(id));
                    protected.extend(order.on.iter().filter(is_there).cloned());
                }
                _ => {}
            }
            let moved = rooms.take_moved();
            exposure.follow(&rooms, moved, settings);
            let wanted = expected(&rooms, settings);
            let share = exposure.share.iter().map(|(_, _, id)| id);
            let busy = exposure.busy.iter().filter(|_| exposure.counts);
            let found: BTreeSet<RoomId> = busy.chain(share).cloned().collect();
            prop_assert_eq!(&found, &wanted);
            let mut after = exposure.ordered.clone();
            after.retain(|id| !exposure.off.ages.contains_key(id));
            after.extend(exposure.on.iter().cloned());
            after.extend(exposure.on_share.by_age.values().cloned());
            prop_assert_eq!(&after, &wanted, "with what is to be ordered");
        }
        // When all is quiet, it is as it should be.
        exposure.order(true);
        exposure.succeeded();
        prop_assert!(!exposure.has_news());
        for id in expected(&rooms, settings) {
            prop_assert_eq!(exposure.standing(&id), Standing::Protected);
        }
    }
}

const SETTINGS: ProtectionSettings = ProtectionSettings {
    interval: std::time::Duration::from_secs(5),
    safety: 1.0,
    single: true,
};

#[test]
fn rooms_in_use_are_in_the_next_order_and_a_large_share_in_many() {
    let mut rooms = RoomTable::default();
    rooms.note_moves();
    rooms.set_active(&version(false));
    (100..200).for_each(|room| rooms.insert(ready(room, false)));
    for room in 150..190 {
        let busy = RoomStatus::Allocated;
        rooms.update(id(room).as_str(), |room| room.record.reported.status = busy);
    }
    let mut exposure = Exposure::default();
    let moved = rooms.take_moved();
    exposure.follow(&rooms, moved, SETTINGS);
    assert_eq!(exposure.standing(&id(150)), Standing::Waiting);
    let first = exposure.order(false);
    let in_use = (150..190).filter(|room| first.on.contains(&id(*room)));
    assert_eq!((in_use.count(), first.on.len()), (40, 40 + AT_ONCE));
    assert_eq!(first.number, first.on.len());
    assert_eq!(exposure.standing(&id(150)), Standing::Ordered);
    assert_eq!(exposure.standing(&id(199)), Standing::Free);
    exposure.succeeded();
    assert_eq!(exposure.standing(&id(150)), Standing::Protected);
    let second = exposure.order(false);
    assert_eq!(
        (second.on.len(), second.number),
        (AT_ONCE, 40 + 2 * AT_ONCE)
    );
    exposure.order(false);
    assert!(!exposure.has_news(), "{exposure:?}");
    // Its pod is gone with its label: only the number is too high.
    rooms.remove(id(150).as_str());
    let moved = rooms.take_moved();
    exposure.follow(&rooms, moved, SETTINGS);
    assert!(exposure.has_news());
    let order = exposure.order(false);
    assert!(order.on.is_empty() && order.off.len() == 1, "{order:?}");
    assert_eq!(order.number, 78);
}

#[test]
fn an_order_for_all_rooms_names_all_of_a_large_share() {
    let mut rooms = RoomTable::default();
    rooms.note_moves();
    rooms.set_active(&version(false));
    (100..200).for_each(|room| rooms.insert(ready(room, false)));
    (100..103).for_each(|room| {
        let busy = RoomStatus::Occupied;
        rooms.update(id(room).as_str(), |room| room.record.reported.status = busy);
    });
    let large = ProtectionSettings {
        safety: 20.0,
        ..SETTINGS
    };
    let mut exposure = Exposure::default();
    let moved = rooms.take_moved();
    exposure.follow(&rooms, moved, large);
    // The runtime takes the label off all others, which an earlier owner may have protected.
    let all = exposure.order(true);
    let wanted = expected(&rooms, large);
    assert!(wanted.len() > 3 + AT_ONCE, "{}", wanted.len());
    assert_eq!(all.on.iter().cloned().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(all.number, wanted.len());
}

#[test]
fn a_room_that_ends_lowers_the_number_when_nothing_else_changes() {
    let mut rooms = RoomTable::default();
    rooms.note_moves();
    rooms.set_active(&version(false));
    let none = ProtectionSettings {
        safety: 0.0,
        ..SETTINGS
    };
    for room in [100, 101] {
        rooms.insert(ready(room, false));
        let busy = RoomStatus::Occupied;
        rooms.update(id(room).as_str(), |room| room.record.reported.status = busy);
    }
    let mut exposure = Exposure::default();
    let moved = rooms.take_moved();
    exposure.follow(&rooms, moved, none);
    assert_eq!(exposure.order(false).number, 2);
    assert!(!exposure.has_news());
    rooms.remove(id(101).as_str());
    let moved = rooms.take_moved();
    exposure.follow(&rooms, moved, none);
    assert!(exposure.has_news());
    let last = exposure.order(false);
    assert_eq!((last.on.len(), last.off.len(), last.number), (0, 0, 1));
}

#[test]
fn a_room_that_is_to_be_released_is_passed_by_none_that_comes_later() {
    let mut rooms = RoomTable::default();
    rooms.note_moves();
    rooms.set_active(&version(false));
    let none = ProtectionSettings {
        safety: 0.0,
        ..SETTINGS
    };
    (100..200).for_each(|room| rooms.insert(ready(room, false)));
    let mut exposure = Exposure::default();
    let mut change = |exposure: &mut Exposure, room: usize, status: RoomStatus| {
        rooms.update(id(room).as_str(), |room| {
            room.record.reported.status = status
        });
        let moved = rooms.take_moved();
        exposure.follow(&rooms, moved, none);
    };
    (100..200).for_each(|room| change(&mut exposure, room, RoomStatus::Occupied));
    exposure.order(false);
    // The last one by its name is the first whose match ends.
    change(&mut exposure, 199, RoomStatus::Ready);
    (100..199).for_each(|room| change(&mut exposure, room, RoomStatus::Ready));
    // It changes once more, and keeps its turn.
    change(&mut exposure, 199, RoomStatus::Terminating);
    let first = exposure.order(false).off;
    assert_eq!(first[0], id(199));
    // While others begin and end all the time, all have their turn.
    let mut left: BTreeSet<RoomId> = (100..199).map(id).collect();
    left.retain(|room| !first.contains(room));
    for again in 100..107 {
        for status in [RoomStatus::Occupied, RoomStatus::Ready] {
            change(&mut exposure, again, status);
        }
        for room in exposure.order(false).off {
            left.remove(&room);
        }
    }
    assert!(left.is_empty(), "{left:?}");
}
