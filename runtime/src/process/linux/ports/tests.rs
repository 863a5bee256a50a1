use super::*;
use rustix::io::Errno;

fn book() -> PortBook {
    PortBook::new(None, usize::MAX)
}

const ALL: Proof = |_, _| Ok(());

fn scheduler(start: i32, end: i32, ports: usize) -> Scheduler {
    let port = ContainerPort {
        name: "game".into(),
        protocol: "udp".into(),
        port: 7777,
        ..Default::default()
    };
    Scheduler {
        name: "fleet".into(),
        port_range: Some(PortRange { start, end }),
        spec: Spec {
            containers: vec![Container {
                ports: vec![port; ports],
                ..Default::default()
            }],
            ..Default::default()
        },
        ..Default::default()
    }
}

fn room(number: usize) -> RoomId {
    format!("fleet-{number}").into()
}

#[test]
fn every_number_of_the_range_is_given_once() {
    let book = book();
    let fleet = scheduler(20_000, 20_009, 2);
    let mut seen = HashSet::new();
    for number in 0..5 {
        for port in book.reserve(&room(number), &fleet, ALL).unwrap().iter() {
            assert!((20_000..=20_009).contains(port) && seen.insert(*port));
        }
    }
    let Err(RuntimeError::Exhausted(text)) = book.reserve(&room(5), &fleet, ALL) else {
        panic!("the range is used up");
    };
    assert_eq!(
        text.text(),
        "port range 20000-20009 of scheduler fleet has 10 ports, all in use; \
         widen portRange or lower the number of rooms"
    );
    book.release_reserved(&room(3));
    assert_eq!(book.reserve(&room(5), &fleet, ALL).unwrap().len(), 2);
}

#[test]
fn a_repeated_draw_gives_the_same_ports() {
    let book = book();
    let fleet = scheduler(20_000, 20_099, 3);
    let first = book.reserve(&room(1), &fleet, ALL).unwrap();
    assert_eq!(book.reserve(&room(1), &fleet, ALL).unwrap(), first);
}

#[test]
fn ports_of_a_created_room_stay_until_it_is_gone() {
    let book = book();
    let fleet = scheduler(20_000, 20_001, 2);
    let ports = book.reserve(&room(1), &fleet, ALL).unwrap();
    let key = (fleet.name.clone(), room(1));
    book.claim(&key, &ports).unwrap();
    book.release_reserved(&room(1));
    assert!(book.reserve(&room(2), &fleet, ALL).is_err());
    let other = (fleet.name.clone(), room(2));
    assert_eq!(
        book.claim(&other, &[20_001]),
        Err((20_001, room(1))),
        "a port is never given to two rooms"
    );
    book.release(&key);
    assert!(book.reserve(&room(2), &fleet, ALL).is_ok());
}

#[test]
fn what_may_not_be_bound_is_skipped_and_said() {
    let book = book();
    let refuse: Proof = |port, _| match port {
        20_001 => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    };
    let fleet = scheduler(20_000, 20_002, 1);
    assert_eq!(*book.reserve(&room(1), &fleet, refuse).unwrap(), [20_001]);
    let Err(RuntimeError::Exhausted(text)) = book.reserve(&room(2), &fleet, refuse) else {
        panic!("nothing is left");
    };
    assert!(text.text().contains("2 of them skipped"), "{text}");
}

#[test]
fn a_shortage_of_descriptors_uses_up_no_range() {
    let book = book();
    let fleet = scheduler(20_000, 20_009, 1);
    let short: Proof = |_, _| Err(Errno::MFILE.into());
    let Err(RuntimeError::Exhausted(text)) = book.reserve(&room(1), &fleet, short) else {
        panic!("nothing could be tried");
    };
    assert!(
        text.text().starts_with("host ports cannot be looked at"),
        "{text}"
    );
    for number in 0..10 {
        assert!(book.reserve(&room(number), &fleet, ALL).is_ok());
    }
}

#[test]
fn a_port_without_a_range_is_drawn_from_the_fallback() {
    let mut fleet = scheduler(0, 0, 2);
    fleet.port_range = None;
    let nowhere = book().reserve(&room(1), &fleet, ALL);
    assert!(matches!(nowhere, Err(RuntimeError::Invalid(_))));
    let (start, end) = (60_001, 60_002);
    let book = PortBook::new(Some(PortRange { start, end }), usize::MAX);
    let mut drawn = book.reserve(&room(1), &fleet, ALL).unwrap().to_vec();
    drawn.sort_unstable();
    assert_eq!(drawn, [60_001, 60_002]);
}

#[test]
fn a_full_node_takes_known_rooms_only() {
    let book = PortBook::new(None, 2);
    let mut fleet = scheduler(0, 0, 0);
    fleet.port_range = None;
    let found = (fleet.name.clone(), room(1));
    assert_eq!(
        book.enter_found(&found, &[]),
        None,
        "rooms without ports count too"
    );
    assert!(book.reserve(&room(2), &fleet, ALL).is_ok());
    let Err(RuntimeError::Exhausted(text)) = book.reserve(&room(3), &fleet, ALL) else {
        panic!("there is no place");
    };
    assert_eq!(
        text.text(),
        "this node has 2 rooms, as many as limits.rooms.perNode allows; remove rooms, or raise the limit"
    );
    assert!(book.reserve(&room(2), &fleet, ALL).is_ok());
    book.release(&found);
    assert!(book.reserve(&room(3), &fleet, ALL).is_ok());
}

#[test]
fn the_last_place_is_given_once() {
    let book = PortBook::new(None, 1);
    let fleet = scheduler(20_000, 20_009, 1);
    let key = (fleet.name.clone(), room(1));
    let drawn = book.reserve(&room(2), &fleet, ALL);
    // Both had found a place before they drew.
    assert!(drawn.is_ok() && book.keep(key, vec![20_009]).is_err());
    book.release_reserved(&room(2));
    assert!(book.is_empty());
}

#[test]
fn rooms_that_were_found_with_one_port_are_both_in_the_book() {
    let book = PortBook::new(None, 2);
    let fleet = scheduler(20_000, 20_009, 1);
    let keys = [1, 2].map(|number| (fleet.name.clone(), room(number)));
    assert_eq!(book.enter_found(&keys[0], &[20_001]), None);
    let conflict = book.enter_found(&keys[1], &[20_000, 20_001]);
    assert_eq!(conflict, Some((20_001, room(1))));
    assert!(book.reserve(&room(3), &fleet, ALL).is_err(), "both count");
    book.release(&keys[1]);
    let third = (fleet.name.clone(), room(3));
    assert_eq!(book.claim(&third, &[20_001]), Err((20_001, room(1))));
    book.release(&keys[0]);
    assert!(book.is_empty());
}

#[test]
fn whatever_becomes_of_rooms_nothing_stays_in_the_book() {
    let book = book();
    let ports_of = |number| scheduler(20_000, 20_009, number);
    for round in 0..100 {
        let (room, key) = (room(round), ("fleet".into(), room(round)));
        let first = book.reserve(&room, &ports_of(1), ALL).unwrap();
        let ports = book.reserve(&room, &ports_of(2), ALL).unwrap();
        assert_eq!((first.len(), ports.len()), (1, 2));
        match round % 4 {
            0 => book.release_reserved(&room),
            1 => {
                book.claim(&key, &ports).unwrap();
                book.unclaim(&key);
                book.release_reserved(&room);
            }
            2 => {
                book.claim(&key, &ports).unwrap();
                let again = book.reserve(&room, &ports_of(1), ALL).unwrap();
                assert_eq!(again, ports, "it exists with these");
                book.release(&key);
            }
            _ => {
                let refuse: Proof = |_, _| Err(io::ErrorKind::AddrInUse.into());
                assert!(
                    book.reserve(&RoomId::from("x"), &ports_of(1), refuse)
                        .is_err()
                );
                book.release_scheduler(&"fleet".into());
            }
        }
        assert!(book.is_empty(), "after round {round}");
    }
}

#[test]
fn ranges_that_are_none_are_invalid() {
    let book = book();
    for (start, end) in [(0, 10), (10, 70_000), (-5, 5), (20, 10)] {
        let drawn = book.reserve(&room(1), &scheduler(start, end, 1), ALL);
        assert!(matches!(drawn, Err(RuntimeError::Invalid(_))));
    }
}
