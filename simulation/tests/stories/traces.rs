//! Ended rooms, operations and schedulers leave nothing behind.

use maestro_core::domain::*;
use maestro_core::state::*;
use maestro_simulation::World;

/// Waits until the fleet has its wanted state.
fn rest(world: &mut World) {
    const MOMENTS: usize = 20;
    world.heal();
    for _ in 0..MOMENTS {
        if world.unsettled().is_none() {
            return;
        }
        world.quiet_moment();
    }
    panic!("no rest: {:?}", world.unsettled());
}

#[test]
fn rooms_and_schedulers_come_and_go_without_a_trace() {
    let mut world = World::new(1, true);
    world.allowed = 10;
    world.revives = false;
    let mut names = 0;
    for round in 0..20 {
        rest(&mut world);
        let (crashes, added) = (world.room_ids()[0].clone(), 2);
        world.machine.gone(&crashes, Some(Exit::default()));
        world.command(Command::AddRooms {
            amount: added,
            version: None,
        });
        rest(&mut world);
        let rooms = world.room_ids();
        for room in &rooms {
            world.ping_owner(room, PingStatus::Ready, 0);
            assert!(world.posted(room).is_some(), "{room} is steady");
        }
        assert!(!rooms.contains(&crashes));
        names += rooms.len();
        world.command(Command::DeleteScheduler);
        world.settle();
        assert!(world.ended, "round {round}");
        let table = world.state.rooms();
        assert_eq!((table.len(), table.in_order().count()), (0, 0));
        assert_eq!(
            (table.next_deadline(), table.next_allocatable()),
            (None, None)
        );
        assert_eq!((table.instances(), table.by_version().len()), (&[0; 5], 0));
        let posted = rooms.iter().filter_map(|room| world.posted(room));
        assert_eq!(posted.count(), 0, "the shell answers for none");
        let view = world.state.view();
        assert_eq!((view.work_in_flight, view.queued), (0, 0));
        assert_eq!((world.works.len(), world.begun.len()), (0, 0));
        assert_eq!(
            (world.machine.running.len(), world.machine.reserved.len()),
            (0, 0)
        );
        let stored = &world.stored;
        assert!(stored.scheduler.is_none() && stored.versions.is_empty());
        assert_eq!(stored.rooms.len(), 0);
        // The next scheduler of this name has a new owner.
        world.ended = false;
        world.restart();
        world.create(3, 1);
    }
    assert!(names >= 60, "{names} rooms");
}
