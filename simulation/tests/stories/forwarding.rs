//! Events that matchmakers receive in the life of a fleet (contract 3, 6).

use ForwardedEvent::{Player, Resync, RoomEvent, Status, Terminated};
use PingStatus::{Occupied, Ready, Terminating};
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::rules::patch::{ContainerPatch, Patch, SpecPatch};
use maestro_core::settings::CoreSettings;
use maestro_core::state::*;
use maestro_simulation::{Fleet, Outcome, spec};
use std::sync::Arc;

fn forwarder(name: &str, enabled: bool) -> Forwarder {
    Forwarder {
        name: name.into(),
        enabled,
        forward_type: "gRPC".into(),
        address: "mm:80".into(),
        options: None,
    }
}

/// A fleet with one disabled and two enabled forwarders, to which nothing has been sent yet.
fn told(rooms: i32) -> Fleet {
    let mut scheduler = spec(rooms);
    scheduler.forwarders = Some(vec![
        forwarder("off", false),
        forwarder("one", true),
        forwarder("two", true),
    ]);
    let mut fleet = Fleet::up_as(scheduler);
    fleet.forwarded.clear();
    fleet
}

fn events(fleet: &mut Fleet) -> Vec<ForwardedEvent> {
    let all = std::mem::take(&mut fleet.forwarded);
    all.iter().map(|f| f.event.clone()).collect()
}

fn ask(
    fleet: &mut Fleet,
    room: &str,
    event: RequestedEvent,
) -> Result<Option<Arc<Forwarding>>, String> {
    let request = EventRequest {
        room: room.into(),
        metadata: "{}".into(),
        event,
    };
    answer(fleet, request)
}

fn answer(fleet: &mut Fleet, request: EventRequest) -> Result<Option<Arc<Forwarding>>, String> {
    match fleet.order(Command::Forward(Box::new(request))) {
        Ok(Reply::Forward(planned)) => Ok(planned),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.message),
    }
}

fn word(text: &str) -> RequestedEvent {
    RequestedEvent::Room(text.into())
}

fn player(event: &str, player: Option<&str>) -> RequestedEvent {
    RequestedEvent::Player {
        event: event.into(),
        player: player.map(str::to_owned),
    }
}

#[test]
fn a_ping_that_was_taken_is_told_to_the_enabled_forwarders_in_their_order() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    fleet.input(Input::Ping {
        caller: Caller(1),
        ping: Ping {
            room: room.clone(),
            status: Occupied,
            running_matches: 1,
            metadata: r#"{"a":1}"#.into(),
        },
    });
    let told = &fleet.forwarded[0];
    assert_eq!(
        (told.event.clone(), &*told.game),
        (Resync(Occupied), "arena")
    );
    assert_eq!((&told.room, &*told.metadata), (&room, r#"{"a":1}"#));
    let names: Vec<&str> = told.to.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(told.address.as_ref().unwrap().host, "127.0.0.1");
    // Steady pings are forwarded too, refused ones are not.
    fleet.ping(&room, Occupied, 1).unwrap();
    fleet.ping(&"ghost".into(), Ready, 0).unwrap_err();
    fleet.ping(&room, PingStatus::Terminated, 0).unwrap_err();
    assert_eq!(events(&mut fleet), [Resync(Occupied), Resync(Occupied)]);
}

#[test]
fn without_an_enabled_forwarder_nobody_is_told() {
    let mut scheduler = spec(2);
    scheduler.forwarders = Some(vec![forwarder("off", false)]);
    let mut fleet = Fleet::up_as(scheduler);
    let room = fleet.rooms()[0].clone();
    fleet.ping(&room, Occupied, 1).unwrap();
    fleet.crash(&room, 1);
    assert_eq!(events(&mut fleet), []);
    assert_eq!(ask(&mut fleet, "ghost", word("goal")), Ok(None));
    assert_eq!(ask(&mut fleet, "ghost", player("nonsense", None)), Ok(None));
    let status = RequestedEvent::Status("dancing".into());
    assert_eq!(ask(&mut fleet, "ghost", status), Ok(None));
}

#[test]
fn the_end_of_a_room_is_told_once_and_last() {
    let mut fleet = told(2);
    let rooms = fleet.rooms();
    fleet.crash(&rooms[0], 1);
    assert_eq!(events(&mut fleet), [Terminated]);

    fleet.hold = true;
    let room = rooms[1].clone();
    fleet
        .order(Command::RemoveRoom {
            room: room.clone(),
            force: true,
        })
        .unwrap();
    // The removal is ordered but has not reached the runtime: no new match may begin in the room.
    fleet.ping(&room, Ready, 0).unwrap();
    assert_eq!(events(&mut fleet), [Resync(Terminating)]);
    while fleet.machine.running.contains_key(&room) {
        assert!(fleet.release_one());
    }
    assert_eq!(events(&mut fleet), [Terminated]);
}

#[test]
fn a_room_that_was_told_to_end_is_not_ready_any_more() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    let mut instance = fleet.machine.running[&room].clone();
    instance.status = InstanceStatus::Terminating;
    instance.resource_version += 1;
    fleet.input(Input::Runtime(RuntimeEvent::Changed(instance)));
    assert_eq!(events(&mut fleet), [], "it may play its match out first");
    for (said, told) in [
        (Occupied, Occupied),
        (Ready, Terminating),
        (Terminating, Terminating),
    ] {
        fleet.ping(&room, said, 0).unwrap();
        assert_eq!(events(&mut fleet), [Resync(told)]);
    }
    fleet.crash(&room, 0);
    assert_eq!(events(&mut fleet), [Terminated]);
}

#[test]
fn the_end_of_all_rooms_is_told_when_the_scheduler_goes() {
    let mut fleet = told(3);
    fleet.order(Command::DeleteScheduler).unwrap();
    assert!(fleet.ended);
    assert_eq!(events(&mut fleet), [Terminated, Terminated, Terminated]);
}

#[test]
fn a_validation_room_is_nobodys_business() {
    let mut fleet = told(1);
    let spec = SpecPatch {
        containers: vec![ContainerPatch {
            command: vec!["false".into()],
            ..ContainerPatch::default()
        }],
        ..SpecPatch::default()
    };
    let patch = Patch {
        spec: Some(spec),
        ..Patch::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    let mut rooms = fleet.rooms().into_iter();
    let trial = rooms.find(|r| fleet.machine.running[r].validation).unwrap();
    for event in [word("goal"), RequestedEvent::Status("dancing".into())] {
        assert_eq!(ask(&mut fleet, trial.as_str(), event), Ok(None));
    }
    fleet.hold = true;
    fleet.ping(&trial, Occupied, 0).unwrap();
    fleet.ping(&trial, Ready, 0).unwrap();
    fleet.crash(&trial, 0);
    assert_eq!(events(&mut fleet), []);
}

#[test]
fn an_event_of_a_room_is_planned_with_all_that_it_needs() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    let planned = ask(&mut fleet, room.as_str(), word("goal"))
        .unwrap()
        .unwrap();
    assert_eq!(planned.event, RoomEvent("goal".into()));
    assert!(planned.address.is_some());
    let status = RequestedEvent::Status("TERMINATING".into());
    let planned = ask(&mut fleet, room.as_str(), status).unwrap().unwrap();
    let (status, word) = (Terminating, "TERMINATING".to_owned());
    assert_eq!(planned.event, Status { status, word });
    let planned = ask(&mut fleet, "ghost", player("playerLeft", Some("")))
        .unwrap()
        .unwrap();
    let (joined, player) = (false, String::new());
    assert_eq!(
        (planned.event.clone(), &planned.address),
        (Player { joined, player }, &None)
    );
    assert_eq!(events(&mut fleet), [], "the caller forwards it");
}

#[test]
fn an_event_that_cannot_be_forwarded_says_why() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    let gone = "failed to get room ghost from storage: room ghost not found in scheduler arena";
    assert_eq!(ask(&mut fleet, "ghost", word("goal")), Err(gone.into()));
    assert_eq!(
        ask(&mut fleet, "ghost", word("Terminated")),
        Err(gone.into())
    );
    assert!(
        ask(&mut fleet, "ghost", word("terminated"))
            .unwrap()
            .is_some()
    );
    let no_player = "eventAttributes must contain key \"playerId\" in playerEvent events. Forwarder name: \"one\", Scheduler: \"arena\"";
    let answer = ask(&mut fleet, room.as_str(), player("playerJoin", None));
    assert_eq!(answer, Err(no_player.into()));
    let invalid = "invalid PlayerEventType. Should be \"playerLeft\" or \"playerJoin\"";
    let answer = ask(&mut fleet, room.as_str(), player("PLAYER_JOIN", Some("p")));
    assert_eq!(answer, Err(invalid.into()));
    let answer = ask(
        &mut fleet,
        room.as_str(),
        RequestedEvent::Status("dancing".into()),
    );
    assert!(answer.unwrap_err().contains("dancing"));

    let mut instance = fleet.machine.running[&room].clone();
    instance.address = None;
    instance.resource_version += 1;
    fleet.input(Input::Runtime(RuntimeEvent::Changed(instance)));
    let no_port =
        "no room port found to forward roomEvent. Forwarder name: \"one\", Scheduler: \"arena\"";
    assert_eq!(
        ask(&mut fleet, room.as_str(), word("goal")),
        Err(no_port.into())
    );
}

#[test]
fn an_event_whose_metadata_tells_of_the_end_needs_no_room() {
    let mut fleet = told(1);
    let status = || RequestedEvent::Status("ready".into());
    for (event, metadata, planned) in [
        (word("goal"), r#"{"pingType":"terminated"}"#, true),
        (
            word("goal"),
            r#"{"pingType":"terminating","x":[[1]]}"#,
            true,
        ),
        // The event itself takes precedence over the metadata.
        (word("goal"), r#"{"roomEvent":"terminated"}"#, false),
        (status(), r#"{"roomEvent":"terminated"}"#, true),
        (status(), r#"{"pingType":"terminated"}"#, false),
        (word("goal"), r#"{"pingType":"Terminated"}"#, false),
        (word("goal"), r#"{"pingType":["terminated"]}"#, false),
        (word("goal"), "", false),
    ] {
        let request = EventRequest {
            room: "ghost".into(),
            metadata: metadata.into(),
            event,
        };
        let answer = answer(&mut fleet, request);
        assert_eq!(answer.is_ok(), planned, "{metadata}");
        assert_eq!(answer.ok().flatten().is_some(), planned, "{metadata}");
    }
}

#[test]
fn who_is_told_follows_the_active_version() {
    let mut fleet = told(1);
    let room = fleet.rooms()[0].clone();
    let patch = Patch {
        forwarders: vec![forwarder("three", true)],
        ..Patch::default()
    };
    fleet.order(Command::Patch(Box::new(patch))).unwrap();
    fleet.ping(&room, Ready, 0).unwrap();
    assert_eq!(fleet.forwarded[0].to[0].name, "three");
    fleet.forwarded.clear();
    fleet.restart();
    fleet.ping(&room, Ready, 0).unwrap();
    assert_eq!(fleet.forwarded[0].to[0].name, "three");
}

#[test]
fn the_end_of_a_room_is_told_if_anybody_can_have_heard_of_it() {
    // The room ran, and had not pinged yet.
    let mut scheduler = spec(1);
    scheduler.forwarders = Some(vec![forwarder("one", true)]);
    let mut fleet = Fleet::created(scheduler, CoreSettings::default());
    let room = fleet.rooms()[0].clone();
    fleet.crash(&room, 1);
    assert_eq!(events(&mut fleet), [Terminated]);

    // The room was never created.
    let mut fleet = told(1);
    fleet.hold = true;
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    fleet.release_kind("reserve_ports", Outcome::Works);
    fleet.release_kind("create_room", Outcome::Invalid);
    fleet.release();
    assert_eq!(fleet.rooms().len(), 1);
    assert_eq!(events(&mut fleet), []);

    // The room pinged before its address was known.
    let mut fleet = told(1);
    fleet.hold = true;
    fleet
        .order(Command::AddRooms {
            amount: 1,
            version: None,
        })
        .unwrap();
    fleet.release_kind("reserve_ports", Outcome::Works);
    let mut rows = fleet.stored.rooms.values();
    let young = rows.find(|room| room.instance.is_none());
    let young = young.expect("it is ordered").id.clone();
    fleet.ping(&young, Ready, 0).unwrap();
    fleet.release_kind("create_room", Outcome::Invalid);
    fleet.release();
    assert_eq!(events(&mut fleet), [Terminated]);
}
