//! The order in which rooms are removed when a fleet shrinks or is replaced (contract 5.6, D22).

use crate::domain::{RoomId, RoomStatus};
use std::cmp::Reverse;
use std::collections::HashSet;

/// A room that may be removed. Draining rooms are not candidates, because they are being removed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletionCandidate<'a> {
    /// The room.
    pub id: &'a RoomId,
    /// Its status, which decides how early it goes.
    pub status: RoomStatus,
    /// Its version has the active version's major number.
    pub same_major: bool,
    /// Its version is the active one.
    pub same_version: bool,
    /// Its last ping is older than the ping timeout.
    pub ping_expired: bool,
    /// It may have players that nobody knows of yet: it has its place in the order, but is drained.
    pub doubtful: bool,
}

/// The rooms to remove, each list in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Rooms without players, to be removed now.
    pub remove: Vec<RoomId>,
    /// Doubtful, occupied, active or allocated rooms, to be drained (D22). A user's order to remove an amount of rooms
    /// takes them as well, after `remove`.
    pub drain: Vec<RoomId>,
    /// Rooms that are ending and are told to end once more, in case an order was lost. They do not count.
    pub terminating: Vec<RoomId>,
}

/// Chooses at most `amount` rooms for `remove` and `drain` together.
///
/// `candidates` are the rooms that may be chosen; in a rollout only those to be replaced. Otherwise an idle room of the
/// new version would be removed before an occupied one of the old, and be created again, without end.
///
/// The order is: rooms in error, rooms without pings, then pending, unready and ready ones, those of other majors
/// before those of the active major; finally rooms with players, which are only drained. Among equals, other versions
/// precede the active one; beyond that the order of `candidates` is kept.
///
/// Unlike in the original, a room with players is never removed before an idle one, and unready rooms are candidates as
/// well, because a rollout would otherwise wait for their timeout.
pub fn deletion_order<'a>(
    candidates: impl Iterator<Item = DeletionCandidate<'a>>,
    amount: usize,
) -> Deletion {
    let mut deletion = Deletion::default();
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    let mut doubtful = HashSet::new();
    for candidate in candidates {
        if candidate.doubtful {
            doubtful.insert(candidate.id);
        }
        match Class::of(&candidate) {
            Class::Ending => deletion.terminating.push(candidate.id.clone()),
            Class::Busy(place) => busy.push((place, candidate.id)),
            Class::Idle(place) => idle.push((place, candidate.id)),
        }
    }
    let chosen = first(idle, amount);
    let left = amount.saturating_sub(chosen.len());
    let is_doubtful = |id: &RoomId| doubtful.contains(id);
    (deletion.drain, deletion.remove) = chosen.into_iter().partition(is_doubtful);
    deletion.drain.extend(first(busy, left));
    deletion
}

enum Class {
    Ending,
    Idle(Place),
    Busy(Place),
}

/// Position in the order, smaller first: rooms in error whatever their version, then other majors, then by status.
type Place = (Reverse<bool>, bool, u8, bool);

impl Class {
    fn of(candidate: &DeletionCandidate<'_>) -> Self {
        use RoomStatus as S;
        let place = |broken: bool, rank| {
            let (major, version) = (candidate.same_major, candidate.same_version);
            (Reverse(broken), major && !broken, rank, version)
        };
        match candidate.status {
            S::Terminating | S::Terminated => Self::Ending,
            S::Error => Self::Idle(place(true, 0)),
            S::Active => Self::Busy(place(false, 0)),
            S::Occupied => Self::Busy(place(false, 1)),
            // Its players are on their way, so it is drained last.
            S::Allocated => Self::Busy(place(false, 2)),
            _ if candidate.ping_expired => Self::Idle(place(true, 1)),
            S::Pending => Self::Idle(place(false, 0)),
            S::Unready => Self::Idle(place(false, 1)),
            S::Ready => Self::Idle(place(false, 2)),
        }
    }
}

/// The first `amount` rooms in order, without sorting all of a large fleet.
fn first(placed: Vec<(Place, &RoomId)>, amount: usize) -> Vec<RoomId> {
    // The index keeps the order of equal candidates.
    let numbered = placed.into_iter().enumerate();
    let mut placed: Vec<_> = numbered.map(|(i, (place, id))| (place, i, id)).collect();
    if amount < placed.len() {
        placed.select_nth_unstable(amount);
        placed.truncate(amount);
    }
    placed.sort_unstable();
    placed.into_iter().map(|(_, _, id)| id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Room {
        id: RoomId,
        status: RoomStatus,
        same_major: bool,
        same_version: bool,
        ping_expired: bool,
        doubtful: bool,
    }

    impl Room {
        fn candidate(&self) -> DeletionCandidate<'_> {
            DeletionCandidate {
                id: &self.id,
                status: self.status,
                same_major: self.same_major,
                same_version: self.same_version,
                ping_expired: self.ping_expired,
                doubtful: self.doubtful,
            }
        }
        fn old(mut self) -> Self {
            (self.same_major, self.same_version) = (false, false);
            self
        }
        fn older_minor(mut self) -> Self {
            self.same_version = false;
            self
        }
    }

    fn room(id: &str, status: RoomStatus) -> Room {
        Room {
            id: id.into(),
            status,
            same_major: true,
            same_version: true,
            ping_expired: false,
            doubtful: false,
        }
    }

    fn order(rooms: &[Room], amount: usize) -> Deletion {
        deletion_order(rooms.iter().map(Room::candidate), amount)
    }

    fn names(ids: &[RoomId]) -> Vec<&str> {
        ids.iter().map(RoomId::as_str).collect()
    }

    use RoomStatus as S;

    #[test]
    fn a_doubtful_room_has_its_place_and_is_drained() {
        let mut found = room("found", S::Unready);
        found.doubtful = true;
        let rooms = [room("ready", S::Ready), found, room("match", S::Occupied)];
        let one = order(&rooms, 1);
        assert_eq!(
            (names(&one.remove), names(&one.drain)),
            (vec![], vec!["found"])
        );
        let all = order(&rooms, 3);
        assert_eq!(names(&all.remove), ["ready"]);
        assert_eq!(names(&all.drain), ["found", "match"]);
    }

    #[test]
    fn broken_rooms_go_first_then_other_majors_then_by_status() {
        let mut silent = room("silent", S::Ready);
        silent.ping_expired = true;
        let rooms = [
            room("ready", S::Ready),
            room("unready", S::Unready),
            room("pending", S::Pending),
            room("minor-ready", S::Ready).older_minor(),
            room("old-ready", S::Ready).old(),
            room("old-pending", S::Pending).old(),
            silent,
            room("error", S::Error),
            room("old-error", S::Error).old(),
        ];
        let order = order(&rooms, 100);
        let expected = [
            "old-error",
            "error",
            "silent",
            "old-pending",
            "old-ready",
            "pending",
            "unready",
            "minor-ready",
            "ready",
        ];
        assert_eq!(names(&order.remove), expected);
        assert!(order.drain.is_empty() && order.terminating.is_empty());
    }

    #[test]
    fn rooms_with_players_are_drained_after_all_idle_ones() {
        let rooms = [
            room("allocated", S::Allocated),
            room("occupied", S::Occupied),
            room("active", S::Active),
            room("old-occupied", S::Occupied).old(),
            room("ready", S::Ready),
        ];
        let all = order(&rooms, 5);
        assert_eq!(names(&all.remove), ["ready"]);
        let expected = ["old-occupied", "active", "occupied", "allocated"];
        assert_eq!(names(&all.drain), expected);
        assert_eq!(names(&order(&rooms, 2).drain), ["old-occupied"]);
        assert!(order(&rooms, 1).drain.is_empty());
    }

    #[test]
    fn terminating_rooms_are_told_again_and_do_not_count() {
        let rooms = [
            room("terminating", S::Terminating),
            room("terminated", S::Terminated).old(),
            room("ready", S::Ready),
        ];
        for amount in [0, 1] {
            let order = order(&rooms, amount);
            assert_eq!(names(&order.terminating), ["terminating", "terminated"]);
            assert_eq!(order.remove.len(), amount);
        }
    }

    #[test]
    fn equals_keep_their_order() {
        let rooms: Vec<Room> = (0..9).map(|n| room(&n.to_string(), S::Ready)).collect();
        assert_eq!(names(&order(&rooms, 3).remove), ["0", "1", "2"]);
    }

    fn any_room() -> impl Strategy<Value = Room> {
        let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
        (prop::sample::select(S::ALL.to_vec()), flags).prop_map(
            |(status, (same_major, same_version, ping_expired, doubtful))| Room {
                doubtful,
                id: "".into(),
                status,
                same_major,
                same_version: same_version && same_major,
                ping_expired,
            },
        )
    }

    proptest! {
        #[test]
        fn a_room_with_players_is_never_removed(
            mut rooms in prop::collection::vec(any_room(), 0..60), amount in 0_usize..70,
        ) {
            for (index, room) in rooms.iter_mut().enumerate() {
                room.id = index.to_string().into();
            }
            let order = order(&rooms, amount);
            let find = |id: &RoomId| &rooms[id.as_str().parse::<usize>().unwrap()];
            let plays = |r: &Room| matches!(r.status, S::Occupied | S::Active | S::Allocated);
            let spared = |r: &Room| plays(r) || r.doubtful;
            prop_assert!(order.remove.iter().all(|id| !spared(find(id))));
            prop_assert!(order.drain.iter().all(|id| spared(find(id))));
            prop_assert!(order.remove.len() + order.drain.len() <= amount);
            let all = [&order.remove, &order.drain, &order.terminating].into_iter().flatten();
            let names: Vec<_> = all.collect();
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
            // As many as requested, as far as there are any.
            let ending = |r: &&Room| matches!(r.status, S::Terminating | S::Terminated);
            let idle = rooms.iter().filter(|r| !ending(r) && !plays(r)).count();
            let (played_in, doubtful): (Vec<_>, Vec<_>) =
                order.drain.iter().partition(|id| plays(find(id)));
            prop_assert_eq!(order.remove.len() + doubtful.len(), idle.min(amount));
            let playing = rooms.iter().filter(|r| plays(r)).count();
            let left = amount.saturating_sub(idle.min(amount));
            prop_assert_eq!(played_in.len(), playing.min(left));
        }
    }
}
