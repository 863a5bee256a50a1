//! Which rooms go first when a fleet shrinks or is replaced (contract 5.6, D22).

use crate::domain::{RoomId, RoomStatus};
use std::cmp::Reverse;

/// A room that may have to go. Rooms that were already told to end, other than by a
/// drain, are passed as terminating ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletionCandidate<'a> {
    pub id: &'a RoomId,
    pub status: RoomStatus,
    /// Its version has the active version's major number.
    pub same_major: bool,
    /// Its version is the active one.
    pub same_version: bool,
    /// Its last ping is older than the ping timeout.
    pub ping_expired: bool,
    /// Its runtime does not know it any more: no match can be lost.
    pub instance_gone: bool,
    /// It is draining already.
    pub draining: bool,
}

/// Rooms to let go, each list in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Nobody plays in them: to be removed now.
    pub remove: Vec<RoomId>,
    /// Occupied, active or allocated: to be drained (D22). A user's own order to remove
    /// an amount of rooms takes them as well, after `remove`.
    pub drain: Vec<RoomId>,
    /// Are ending, and are told so once more: this heals a lost order. They do not count.
    pub terminating: Vec<RoomId>,
}

/// At most `amount` rooms in `remove` and `drain` together, rooms that drain already
/// included in the count but not in the lists.
///
/// Order: rooms in error (or gone from the runtime), rooms without pings, then pending,
/// unready, ready ones, of other majors before those of the active major; at last rooms
/// with players, which are only drained. Among equals other versions go before the
/// active one; then the order of `candidates` is kept.
///
/// Unlike in the original, a room with players never goes before an idle one, and
/// unready rooms are candidates too: a rollout would wait for their timeout.
pub fn deletion_order<'a>(
    candidates: impl Iterator<Item = DeletionCandidate<'a>>,
    amount: usize,
) -> Deletion {
    let mut deletion = Deletion::default();
    let (mut idle, mut busy, mut draining) = (Vec::new(), Vec::new(), 0);
    for candidate in candidates {
        match Class::of(&candidate) {
            Class::Ending => deletion.terminating.push(candidate.id.clone()),
            Class::Busy(_) if candidate.draining => draining += 1,
            Class::Busy(place) => busy.push((place, candidate.id)),
            Class::Idle(place) => idle.push((place, candidate.id)),
        }
    }
    deletion.remove = first(idle, amount);
    let left = amount.saturating_sub(deletion.remove.len() + draining);
    deletion.drain = first(busy, left);
    deletion
}

enum Class {
    Ending,
    Idle(Place),
    Busy(Place),
}

/// Place in the order, smaller first: broken ones whatever their version, then other
/// majors, then by status.
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
            _ if candidate.instance_gone => Self::Idle(place(true, 0)),
            S::Error => Self::Idle(place(true, 0)),
            S::Active => Self::Busy(place(false, 0)),
            S::Occupied => Self::Busy(place(false, 1)),
            // Its players are on their way: the last to be drained.
            S::Allocated => Self::Busy(place(false, 2)),
            // Its match is over, and it was to go anyway.
            _ if candidate.draining => Self::Idle(place(true, 1)),
            _ if candidate.ping_expired => Self::Idle(place(true, 2)),
            S::Pending => Self::Idle(place(false, 0)),
            S::Unready => Self::Idle(place(false, 1)),
            S::Ready => Self::Idle(place(false, 2)),
        }
    }
}

fn first(mut placed: Vec<(Place, &RoomId)>, amount: usize) -> Vec<RoomId> {
    // Stable: equals keep the order of the candidates.
    placed.sort_by_key(|(place, _)| *place);
    placed
        .into_iter()
        .take(amount)
        .map(|(_, id)| id.clone())
        .collect()
}
