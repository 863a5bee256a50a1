//! Creations of rooms, from the decision to the end: ports, orders, late answers, canceled orders.

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::settings::{CoreSettings, ProtectionSettings};
use maestro_core::state::*;
use maestro_simulation::documents::{command, history, major, operation_of, patch};
use maestro_simulation::{Fleet, Outcome, spec};
use std::time::Duration;

/// Ports are reserved for the running rooms only.
fn no_port_is_lost(fleet: &Fleet) {
    let reserved: Vec<_> = fleet.machine.reserved.keys().cloned().collect();
    assert_eq!(reserved, fleet.rooms());
}

#[test]
fn the_order_of_a_validation_room_carries_the_new_versions_document() {
    let mut fleet = Fleet::up(2);
    fleet.order(major("false")).unwrap();
    let trial = fleet.trial();
    let order = fleet.machine.orders.last().expect("it was made");
    assert_eq!((&order.room, order.validation), (&trial, true));
    assert_eq!(order.scheduler.version().as_str(), "v2.0.0");
    assert_eq!(order.scheduler.spec.containers[0].command, ["false"]);
    // A room that crashes meanwhile, after it was up for long, is replaced by one of the active
    // version.
    fleet.pass(Duration::from_secs(31));
    let old = fleet.rooms().into_iter().find(|r| *r != trial).unwrap();
    fleet.crash(&old, 1);
    let order = fleet.machine.orders.last().expect("another is made");
    assert!(!order.validation);
    assert_eq!(order.scheduler.version().as_str(), "v1.0.0");
    assert_eq!(order.scheduler.spec.containers[0].command, ["true"]);
}

#[test]
fn old_rooms_end_with_the_grace_of_their_own_version() {
    let mut fleet = Fleet::up(2);
    let old = fleet.rooms();
    let change = patch(|p| {
        let mut spec = command("false");
        spec.termination_grace_period = Some(30_000_000_000);
        p.spec = Some(spec);
    });
    fleet.order(change).unwrap();
    let trial = fleet.trial();
    for _ in 0..10 {
        fleet.ping_all(PingStatus::Ready);
    }
    let new = fleet.rooms();
    assert!(new.iter().all(|r| !old.contains(r)) && new.len() == 2);
    fleet
        .order(Command::RemoveRooms {
            amount: 1,
            force: false,
            version: None,
        })
        .unwrap();
    let grace = |room: &RoomId| {
        let mut told = fleet.machine.terminations.iter();
        told.find(|t| t.room == *room).map(|t| t.grace)
    };
    for room in &old {
        assert_eq!(grace(room), Some(Duration::from_secs(1)));
    }
    assert_eq!(grace(&trial), Some(Duration::from_secs(30)));
    let removed = new.iter().find_map(grace);
    assert_eq!(removed, Some(Duration::from_secs(30)));
}

#[test]
fn a_room_that_was_written_and_not_made_is_ordered_again_with_its_ports() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    assert!(fleet.release_one());
    let (_, work) = fleet.works.front().expect("the room is being made");
    let Work::CreateRoom(asked) = work.clone() else {
        panic!("{work:?}");
    };
    fleet.restart();
    let again = fleet.machine.orders.last().expect("ordered again");
    assert_eq!(again.room, asked.room);
    assert_eq!(again.host_ports, asked.host_ports);
    assert_eq!(again.scheduler, asked.scheduler);
    assert_eq!(fleet.machine.orders.len(), 2, "and once");
    assert_eq!(fleet.rooms().len(), 2);
    no_port_is_lost(&fleet);
}

#[test]
fn an_intent_whose_ports_another_room_has_by_now_is_given_up() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    assert!(fleet.release_one());
    let mut rows = fleet.stored.rooms.values();
    let row = rows.find(|r| r.instance.is_none());
    let row = row.expect("its row is durable").clone();
    // The book of ports was lost with its machine, and another room gets the ports first.
    fleet.machine.reserved.remove(&row.id);
    let taken = ("arena-other".into(), row.intent.host_ports.clone());
    fleet.machine.reserved.extend([taken]);
    fleet.restart();
    assert!(!fleet.stored.rooms.contains_key(&row.id));
    assert_eq!(fleet.rooms().len(), 1, "its attempt is over");
    // One room failed before it was ready: the next one comes after a second.
    fleet.pass(Duration::from_secs(2));
    assert_eq!(fleet.rooms().len(), 2);
    let ports: Vec<_> = fleet.machine.running.keys().collect();
    assert!(ports.iter().all(|room| **room != row.id));
}

#[test]
fn the_ports_of_a_failed_creation_are_given_back_whatever_else_ends() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    assert!(fleet.release_one());
    fleet.release_kind("create_room", Outcome::Invalid);
    assert_eq!(fleet.operation(id).status, OperationStatus::Error);
    assert!(fleet.position("release_ports").is_some());
    // Operations of both lanes end before the ports are released.
    let slept = operation_of(fleet.order(Command::TestOperation { sleep_seconds: 0 }));
    let surge = operation_of(fleet.order(patch(|p| p.max_surge = Some("2".into()))));
    for id in [slept, surge] {
        assert_eq!(fleet.operation(id).status, OperationStatus::Finished);
    }
    assert!(fleet.abandoned.is_empty(), "{:?}", fleet.abandoned);
    fleet.release();
    no_port_is_lost(&fleet);
}

/// A fleet of one room, and the order to create another, which is held.
fn being_ordered() -> (Fleet, RoomId) {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    let add = Command::AddRooms {
        amount: 1,
        version: None,
    };
    fleet.order(add).unwrap();
    assert!(fleet.release_one());
    let Some((_, Work::CreateRoom(order))) = fleet.works.front().cloned() else {
        panic!("{:?}", fleet.works);
    };
    (fleet, order.room)
}

#[test]
fn a_creation_that_takes_effect_after_its_room_was_given_up_is_told_to_end() {
    let (mut fleet, room) = being_ordered();
    // Whether the room exists is unknown; it does not at first, and then it does.
    for outcome in [Outcome::LateUnknown, Outcome::Unknown, Outcome::Unknown] {
        fleet.release_kind("create_room", outcome);
    }
    fleet.release();
    assert!(!fleet.stored.rooms.contains_key(&room));
    fleet.hold = true;
    assert!(fleet.late(0));
    fleet.carry_on();
    assert!(fleet.machine.running.contains_key(&room));
    let row = &fleet.stored.rooms[&room];
    let removal = row.intent.removal.expect("it is to go");
    assert_eq!(removal.reason, RemovalReason::CreationFailed);
    fleet.release();
    assert_eq!(fleet.rooms().len(), 1);
    no_port_is_lost(&fleet);
}

#[test]
fn a_failed_creation_whose_room_may_be_there_ends_it() {
    let of_removal = |fleet: &Fleet, room: &RoomId| {
        let row = fleet.stored.rooms.get(room)?;
        row.intent.removal.map(|removal| removal.reason)
    };
    for is_seen in [false, true] {
        let mut fleet = Fleet::up(1);
        fleet.hold = true;
        let add = Command::AddRooms {
            amount: 1,
            version: None,
        };
        fleet.order(add).unwrap();
        assert!(fleet.release_one());
        let Some((_, Work::CreateRoom(order))) = fleet.works.front().cloned() else {
            panic!("{:?}", fleet.works);
        };
        if is_seen {
            // An earlier try made it, and this one is refused.
            fleet.machine.make(&order);
            fleet.carry_on();
            assert!(fleet.release_with(Outcome::Invalid));
        } else {
            fleet.deaf = true;
            assert!(fleet.release_with(Outcome::DoneUnavailable));
        }
        let reason = of_removal(&fleet, &order.room);
        assert_eq!(reason, Some(RemovalReason::CreationFailed), "{is_seen}");
        fleet.deaf = false;
        fleet.release();
        assert!(!fleet.machine.running.contains_key(&order.room));
        no_port_is_lost(&fleet);
    }
}

#[test]
fn a_creation_that_is_answered_after_its_room_has_gone_is_told_to_end() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    fleet.deaf = true;
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    assert!(fleet.release_one());
    assert!(fleet.begin(0), "the room is there, its answer on the way");
    let (_, work, _) = fleet.begun.front().expect("it was begun");
    let Work::CreateRoom(order) = work.clone() else {
        panic!("{work:?}");
    };
    // An end that cannot be told from the room's own removes the row.
    fleet.input(Input::Runtime(RuntimeEvent::Gone {
        room: order.room.clone(),
        uid: "an earlier one".into(),
        exit: None,
    }));
    assert!(!fleet.stored.rooms.contains_key(&order.room));
    assert!(fleet.finish(0));
    fleet.carry_on();
    let row = &fleet.stored.rooms[&order.room];
    let removal = row.intent.removal.expect("it is to go");
    assert_eq!(removal.reason, RemovalReason::CreationFailed);
    fleet.deaf = false;
    fleet.release();
    assert!(!fleet.machine.running.contains_key(&order.room));
}

/// A creation whose room is there, while its answer is on the way.
fn being_answered() -> (Fleet, RoomId) {
    let settings = CoreSettings {
        protection: Some(ProtectionSettings {
            interval: Duration::from_secs(60),
            safety: 0.0,
            single: true,
        }),
        ..CoreSettings::default()
    };
    let mut fleet = Fleet::up_with(spec(1), settings);
    fleet.hold = true;
    let add = Command::AddRooms {
        amount: 1,
        version: None,
    };
    fleet.order(add).unwrap();
    assert!(fleet.release_one());
    fleet.deaf = true;
    assert!(fleet.begin(0));
    let Some((_, Work::CreateRoom(order), _)) = fleet.begun.front().cloned() else {
        panic!("{:?}", fleet.begun);
    };
    (fleet, order.room)
}

#[test]
fn the_last_answer_is_the_newer_instance_whatever_its_counter_says() {
    let (mut fleet, room) = being_answered();
    // An earlier try had made an instance that is told of now; the runtime was restored from a copy since.
    let made = fleet.machine.running[&room].clone();
    let earlier = Instance {
        uid: "an earlier one".into(),
        resource_version: made.resource_version + 1000,
        ..made.clone()
    };
    fleet.input(Input::Runtime(RuntimeEvent::Changed(earlier)));
    fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
    fleet.release_kind("protect", Outcome::Works);
    // That was the label of the earlier pod.
    assert!(fleet.machine.protected.remove(&room));
    assert!(fleet.finish(0));
    fleet.carry_on();
    let known = fleet.stored.rooms[&room].instance.clone().unwrap();
    assert_eq!(known.uid, made.uid);
    fleet.release_kind("protect", Outcome::Works);
    assert!(fleet.machine.protected.contains(&room));
    fleet.input(Input::Runtime(RuntimeEvent::Gone {
        room: room.clone(),
        uid: "an earlier one".into(),
        exit: None,
    }));
    fleet.deaf = false;
    fleet.release();
    assert_eq!(fleet.rooms().len(), 2);
    assert!(fleet.stored.rooms.contains_key(&room), "it is the room");
}

#[test]
fn a_room_that_is_there_outlives_the_answer_to_its_creation() {
    for outcome in [
        WorkResult::Unknown("took too long".into()),
        WorkResult::Failed(RuntimeError::Unavailable("slow".into())),
    ] {
        let (mut fleet, room) = being_answered();
        let made = fleet.machine.running[&room].clone();
        fleet.input(Input::Runtime(RuntimeEvent::Changed(made)));
        fleet.ping(&room, PingStatus::Occupied, 1).unwrap();
        let (id, ..) = fleet.begun.pop_front().expect("its creation");
        fleet.input(Input::WorkDone {
            id,
            result: outcome,
        });
        assert_eq!(fleet.stored.rooms[&room].intent.removal, None);
        assert_eq!(fleet.state.view().crash_failures, 0);
        fleet.deaf = false;
        fleet.release();
        assert_eq!(fleet.rooms().len(), 2);
        let added = fleet.operations_of("add_rooms");
        assert_eq!(added.last().unwrap().status, OperationStatus::Finished);
    }
}

#[test]
fn a_creation_without_an_answer_is_ordered_again_and_finds_its_room() {
    let (mut fleet, room) = being_ordered();
    fleet.release_kind("create_room", Outcome::LateUnknown);
    // It takes effect while it is ordered again.
    assert!(fleet.late(0));
    fleet.carry_on();
    fleet.release_kind("create_room", Outcome::Works);
    assert_eq!(fleet.stored.rooms[&room].intent.removal, None);
    assert_eq!(fleet.rooms().len(), 2);
    let added = fleet.operations_of("add_rooms");
    assert_eq!(added.last().unwrap().status, OperationStatus::Finished);
    no_port_is_lost(&fleet);
}

#[test]
fn a_canceled_order_is_not_repeated_for_want_of_an_answer() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    let add = Command::AddRooms {
        amount: 1,
        version: None,
    };
    let id = operation_of(fleet.order(add));
    assert!(fleet.release_one());
    fleet.order(Command::Cancel(id)).unwrap();
    fleet.release_kind("create_room", Outcome::Unknown);
    let orders = fleet.works.iter().map(|(_, work)| work.kind());
    assert_eq!(orders.filter(|kind| *kind == "create_room").count(), 0);
    fleet.release();
    assert_eq!(fleet.rooms().len(), 1);
    no_port_is_lost(&fleet);
}

#[test]
fn a_room_whose_creation_waits_for_its_turn_has_its_whole_time_afterwards() {
    let mut fleet = Fleet::created(spec(0), CoreSettings::default());
    fleet.machine.unplaced = true;
    fleet.hold = true;
    fleet.order(patch(|p| p.rooms_replicas = Some(1))).unwrap();
    fleet.release_kind("reserve_ports", Outcome::Works);
    let room = fleet.stored.rooms.keys().next().unwrap().clone();
    fleet.pass(Duration::from_secs(650));
    assert_eq!(fleet.works.len(), 1, "{:?}", fleet.works);
    fleet.release();
    // Nor has one that no node has a place for waited there.
    for (trouble, time) in [(Some(Trouble::Unschedulable), 500), (None, 110)] {
        fleet.machine.observe(&room, |instance| {
            instance.status = InstanceStatus::Pending;
            instance.trouble = trouble;
            instance.address = None;
        });
        fleet.carry_on();
        fleet.pass(Duration::from_secs(time));
        assert_eq!(fleet.rooms(), std::slice::from_ref(&room));
    }
    fleet.pass(Duration::from_secs(30));
    assert_ne!(fleet.rooms(), [room]);
}

#[test]
fn a_room_that_is_there_says_nothing_about_a_runtime_without_an_answer() {
    let mut fleet = Fleet::created(spec(0), CoreSettings::default());
    fleet.hold = true;
    fleet.order(patch(|p| p.rooms_replicas = Some(2))).unwrap();
    for _ in 0..2 {
        fleet.release_kind("reserve_ports", Outcome::Works);
    }
    // One is not made. The other is, which the watch tells, but not the answer.
    fleet.release_kind("create_room", Outcome::Unavailable);
    fleet.release_kind("create_room", Outcome::DoneUnavailable);
    let asked = fleet.works.iter().map(|(_, work)| work.kind());
    let asked = asked.filter(|kind| *kind == "reserve_ports").count();
    assert_eq!(asked, 0, "the runtime is away");
}

#[test]
fn a_refusal_says_nothing_about_an_earlier_order_without_an_answer() {
    let (mut fleet, room) = being_ordered();
    fleet.release_kind("create_room", Outcome::LateUnknown);
    fleet.release_kind("create_room", Outcome::Exhausted);
    assert!(fleet.stored.rooms[&room].intent.removal.is_some());
    assert!(fleet.late(0));
    fleet.release();
    assert!(!fleet.machine.running.contains_key(&room));
    assert_eq!(fleet.rooms().len(), 1);
    no_port_is_lost(&fleet);
}

#[test]
fn a_room_whose_ports_are_taken_before_its_creation_is_answered_is_ended_once() {
    let (mut fleet, room) = being_answered();
    fleet.machine.observe(&room, |instance| {
        instance.status = InstanceStatus::Pending;
        instance.trouble = Some(Trouble::PortsTaken);
    });
    let told = |fleet: &Fleet| {
        let kinds = fleet.works.iter().map(|(_, work)| work.kind());
        kinds.filter(|kind| *kind == "terminate_room").count()
    };
    fleet.deaf = false;
    fleet.carry_on();
    assert!(fleet.stored.rooms[&room].intent.removal.is_some());
    assert_eq!(told(&fleet), 0, "the answer ends it");
    assert!(fleet.finish(0));
    fleet.carry_on();
    assert_eq!(told(&fleet), 1);
}

#[test]
fn a_list_from_before_the_answer_ends_no_room() {
    let (mut fleet, room) = being_answered();
    let there = fleet.machine.running.values();
    let before: Vec<Instance> = there.filter(|i| i.room != room).cloned().collect();
    // It is compared with the rooms when the scheduler goes on.
    fleet.order(Command::SetPaused(true)).unwrap();
    fleet.input(Input::Runtime(RuntimeEvent::Listed(before)));
    assert!(fleet.finish(0));
    fleet.carry_on();
    // The room is not new any more by then.
    fleet.pass(fleet.settings.runtime_timeout);
    fleet.order(Command::SetPaused(false)).unwrap();
    let row = fleet.stored.rooms.get(&room);
    assert!(row.is_some_and(|row| row.instance.is_some()), "{row:?}");
}

#[test]
fn an_answer_about_an_instance_whose_end_was_told_replaces_none() {
    let (mut fleet, room) = being_answered();
    let made = fleet.machine.running[&room].clone();
    // It ended, and a call of an earlier owner made another, which is found.
    fleet.machine.replace_by_namesake(&room, true);
    let now = fleet.machine.running[&room].clone();
    fleet.input(Input::Runtime(RuntimeEvent::Gone {
        room: room.clone(),
        uid: made.uid.clone(),
        exit: None,
    }));
    let found = Instance {
        resource_version: 0,
        ..now.clone()
    };
    fleet.input(Input::Runtime(RuntimeEvent::Changed(found)));
    assert!(fleet.finish(0));
    fleet.carry_on();
    let known = fleet.stored.rooms[&room].instance.clone().unwrap();
    assert_eq!(known.uid, now.uid);
}

#[test]
fn a_deletion_asks_for_the_removal_of_its_place_until_that_is_gone() {
    for outcome in [Outcome::Unknown, Outcome::Unavailable] {
        let mut fleet = Fleet::up(1);
        fleet.hold = true;
        let id = operation_of(fleet.order(Command::DeleteScheduler));
        fleet.release_kind("terminate_room", Outcome::Works);
        for _ in 0..3 {
            fleet.release_kind("remove_place", outcome);
            assert!(fleet.works.is_empty(), "after a pause");
            fleet.pass(Duration::from_secs(10));
        }
        let open = fleet.operation(id);
        assert_eq!(open.status, OperationStatus::InProgress);
        assert!(fleet.stored.scheduler.is_some() && !fleet.ended);
        // The place itself takes its time as well.
        fleet.machine.removal_takes = 2;
        fleet.release();
        let waits = history(fleet.operation(id));
        let lines = waits.matches("waiting: ").count();
        assert_eq!(lines, 1, "not one for each try: {waits}");
        fleet.pass(Duration::from_secs(60));
        let end = fleet.operation(id);
        assert_eq!(end.status, OperationStatus::Finished, "{}", history(end));
        assert!(fleet.stored.scheduler.is_none() && fleet.ended);
    }
}

#[test]
fn a_canceled_order_of_500_rooms_asks_for_no_further_one() {
    let mut fleet = Fleet::up(1);
    fleet.hold = true;
    let id = operation_of(fleet.order(Command::AddRooms {
        amount: 500,
        version: None,
    }));
    let batch = fleet.settings.add_batch;
    assert_eq!(fleet.works.len(), batch);
    // One room is created, one has its ports, the others wait for theirs.
    for _ in 0..2 {
        fleet.release_kind("reserve_ports", Outcome::Works);
    }
    fleet.release_kind("create_room", Outcome::Works);
    let waits = |(_, work): &&(WorkId, Work)| matches!(work, Work::ReservePorts { .. });
    let asked = fleet.machine.calls["reserve_ports"] + fleet.works.iter().filter(waits).count();
    fleet.order(Command::Cancel(id)).unwrap();
    fleet.release();
    assert_eq!(fleet.machine.calls["reserve_ports"], asked, "nothing more");
    let orders = fleet.machine.orders.len();
    assert_eq!(orders, 3, "the first room, the one made, the one under way");
    let end = fleet.operation(id);
    assert_eq!(end.status, OperationStatus::Canceled, "{}", history(end));
    assert!(history(end).contains("of 500 rooms"), "{}", history(end));
    assert_eq!(fleet.rooms().len(), 1);
    assert_eq!(fleet.stored.scheduler.as_ref().unwrap().rooms_replicas, 1);
    no_port_is_lost(&fleet);
}

#[test]
fn a_switch_that_is_canceled_while_it_waits_brings_the_scheduler_back() {
    let mut fleet = Fleet::up(1);
    let edit = operation_of(fleet.order(major("false")));
    let trial = fleet.trial();
    fleet.order(Command::SetPaused(true)).unwrap();
    fleet.ping(&trial, PingStatus::Ready, 0).unwrap();
    assert_eq!(fleet.operation(edit).status, OperationStatus::Finished);
    assert_eq!(fleet.scheduler_state(), "creating");
    let switch = fleet.operations_of("switch_active_version")[0];
    let (id, status) = (switch.id, switch.status);
    assert_eq!(status, OperationStatus::Pending, "it waits");
    fleet.order(Command::Cancel(id)).unwrap();
    fleet.order(Command::SetPaused(false)).unwrap();
    assert_eq!(fleet.operation(id).status, OperationStatus::Canceled);
    assert_eq!(fleet.scheduler_state(), "in-sync");
    assert_eq!(fleet.state.view().version, "v1.0.0");
    assert_eq!(fleet.rooms().len(), 1);
}

#[test]
fn what_had_begun_goes_on_before_what_is_urgent() {
    let mut fleet = Fleet::up(2);
    fleet.hold = true;
    let begun = operation_of(fleet.order(Command::AddRooms {
        amount: 1,
        version: None,
    }));
    // A silent room is due meanwhile: its removal is urgent, and waits.
    fleet.pass(Duration::from_secs(242));
    let urgent = fleet.operations_of("remove_rooms")[0];
    assert!(urgent.priority && urgent.status == OperationStatus::Pending);
    let urgent = urgent.id;
    fleet.restart_held();
    assert_eq!(fleet.operation(begun).status, OperationStatus::InProgress);
    assert_eq!(fleet.operation(urgent).status, OperationStatus::Pending);
    assert!(history(fleet.operation(begun)).contains("Resuming operation"));
    fleet.release();
    assert_eq!(fleet.operation(begun).status, OperationStatus::Finished);
    assert!(fleet.operation(urgent).status.is_final());
}

#[test]
fn a_deletion_does_not_overtake_what_had_begun_before_a_restart() {
    let mut fleet = Fleet::up(1);
    let edit = operation_of(fleet.order(major("false")));
    fleet.deaf = true;
    fleet.restart();
    // Nothing continues before the runtime has sent its list.
    let deletion = operation_of(fleet.order(Command::DeleteScheduler));
    assert_eq!(fleet.works.len(), 0);
    fleet.deaf = false;
    fleet.carry_on();
    assert!(history(fleet.operation(edit)).contains("Resuming operation"));
    assert_eq!(fleet.operation(deletion).status, OperationStatus::Pending);
    fleet.order(Command::Cancel(edit)).unwrap();
    assert!(fleet.ended, "then it is deleted");
}

#[test]
fn a_room_that_comes_to_life_after_it_was_looked_for_is_told_to_end() {
    let mut fleet = Fleet::up(1);
    fleet.pass(Duration::from_secs(31));
    let crashed = fleet.rooms()[0].clone();
    fleet.hold = true;
    fleet.crash(&crashed, 1);
    assert!(fleet.release_one());
    let Some((_, Work::CreateRoom(order))) = fleet.works.front().cloned() else {
        panic!("{:?}", fleet.works);
    };
    for outcome in [Outcome::LateUnknown, Outcome::Unknown, Outcome::Unknown] {
        fleet.release_kind("create_room", outcome);
    }
    // The order to end finds no room yet. Its answer is pending when the room appears.
    let at = fleet.position("terminate_room").expect("it is told to end");
    assert!(fleet.begin(at));
    assert!(fleet.late(0));
    fleet.carry_on();
    assert!(fleet.stored.rooms[&order.room].instance.is_some());
    assert!(fleet.finish(0));
    fleet.release();
    assert!(!fleet.machine.running.contains_key(&order.room));
    assert!(!fleet.stored.rooms.contains_key(&order.room));
    no_port_is_lost(&fleet);
}
