//! The store fails for a while: decisions wait, and are written when it is back.

use maestro_core::domain::*;
use maestro_simulation::{Fleet, StoreFault, World};

#[test]
fn decisions_behind_a_failed_commit_are_written_together_as_the_last_state_of_each_room() {
    let mut fleet = Fleet::up(2);
    let world: &mut World = &mut fleet;
    let (rooms, seq) = (world.room_ids(), world.stored.seq);
    for _ in 0..10 {
        for status in [PingStatus::Occupied, PingStatus::Ready] {
            for room in &rooms {
                let matches = i64::from(status == PingStatus::Occupied);
                world.ping(room, status, matches);
                assert!(world.commit_group(1, Some(StoreFault::NotApplied)));
            }
        }
    }
    assert!(world.waiting_writes() >= 40);
    assert_eq!(world.stored.seq, seq);
    assert!(world.commit(), "the first one, which failed");
    assert!(world.commit(), "all that came since");
    assert_eq!(world.waiting_writes(), 0);
    assert_eq!(world.stored.seq, seq.next().next());
    assert_eq!(world.stored.rooms, world.written.rooms);
}
