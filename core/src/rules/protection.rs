//! How many rooms a disruption budget protects (D11, D38).

/// What the numbers of a fleet say about its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protected {
    /// Whether rooms with a match, or about to have one, are protected.
    pub busy: bool,
    /// How many ready rooms are protected beside them: those that are allocated next (D33).
    pub share: usize,
    /// The budget's `minAvailable`.
    pub number: usize,
}

/// The fleet that is to be protected, without validation rooms.
#[derive(Clone, Copy, Debug)]
pub struct Exposed {
    /// Occupied, active and allocated rooms.
    pub busy: usize,
    /// Rooms that can be allocated now.
    pub ready: usize,
    /// All rooms.
    pub rooms: usize,
}

/// A number may differ by this much from a whole one before it is rounded up: 100 rooms and 5 % make 105, which
/// floating point numbers miss.
const NOISE: f64 = 1e-9;

/// `ceil(n × (1 + safety))` of the `n` busy rooms, as far as there are ready ones. `single` says whether the only room
/// of a fleet is protected while it is busy (`runtimeWatcher.disruptionWorker.protectSingleRoom`).
pub fn protected(fleet: Exposed, safety: f64, single: bool) -> Protected {
    let alone = fleet.rooms <= 1;
    if fleet.busy == 0 || (alone && !single) {
        return Protected {
            busy: false,
            share: 0,
            number: 0,
        };
    }
    let wanted = (fleet.busy as f64 * safety.max(0.0) - NOISE).ceil();
    // A float becomes the nearest integer that there is: a share of more rooms than exist is all of them.
    let share = (wanted.max(0.0) as usize).min(fleet.ready);
    Protected {
        busy: true,
        share,
        number: fleet.busy + share,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(busy: usize, ready: usize, safety: f64, single: bool) -> usize {
        let rooms = busy + ready;
        let fleet = Exposed { busy, ready, rooms };
        protected(fleet, safety, single).number
    }

    #[test]
    fn the_share_is_a_part_of_the_rooms_in_use_rounded_up() {
        assert_eq!(number(100, 50, 0.05, true), 105);
        assert_eq!(number(101, 50, 0.05, true), 107);
        assert_eq!(number(20, 50, 0.05, true), 21);
        assert_eq!(number(1, 50, 0.05, true), 2);
        assert_eq!(number(500, 500, 0.99, true), 995);
        assert_eq!(number(7, 50, 0.0, true), 7);
        assert_eq!(number(100, 2, 0.05, true), 102, "there are no more");
    }

    #[test]
    fn nothing_is_protected_of_a_fleet_that_nobody_plays_in() {
        for ready in 0..3 {
            assert_eq!(number(0, ready, 0.5, true), 0);
        }
    }

    #[test]
    fn a_single_room_in_use_is_protected_unless_the_setting_says_no() {
        assert_eq!(number(1, 0, 0.05, true), 1);
        assert_eq!(number(1, 0, 0.05, false), 0);
        assert_eq!(number(1, 1, 0.05, false), 2, "there are two rooms");
    }

    proptest! {
        #[test]
        fn every_room_in_use_is_protected_and_no_more_than_there_are(
            busy in 0usize..20_000, ready in 0usize..20_000, safety in 0.0f64..1.0,
        ) {
            let fleet = Exposed { busy, ready, rooms: busy + ready };
            let found = protected(fleet, safety, true);
            prop_assert_eq!(found.busy, busy > 0);
            prop_assert!(found.number >= busy && found.number <= busy + ready);
            prop_assert_eq!(found.number, busy + found.share);
            let exact = busy as f64 * safety;
            prop_assert!(found.share == ready || found.share as f64 + 1e-6 >= exact);
            prop_assert!((found.share as f64) < exact + 1.0);
        }
    }
}
