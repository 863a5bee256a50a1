//! Room status: composed of what the room says and what its runtime says, and the
//! changes of it that are allowed (contract 4.4). Never here: when a status is looked at.

use crate::domain::{InstanceStatus, PingStatus, RoomStatus};

/// Composition of ping and instance status (contract 4.4, first table).
///
/// An instance in error wins over all but `terminated`, where both agree that the
/// room is over and the room's own word is the kinder one.
pub fn compose(ping: PingStatus, instance: InstanceStatus) -> RoomStatus {
    use InstanceStatus as I;
    use PingStatus as P;
    match (ping, instance) {
        (_, I::Error) => RoomStatus::Error,
        (P::Terminated, _) => RoomStatus::Terminated,
        (P::Terminating, _) | (_, I::Terminating) => RoomStatus::Terminating,
        (_, I::Unknown | I::Pending) => RoomStatus::Pending,
        (P::Unknown, I::Ready) => RoomStatus::Unready,
        (P::Ready, I::Ready) => RoomStatus::Ready,
        (P::Occupied, I::Ready) => RoomStatus::Occupied,
    }
}

/// What [`effective`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusInput {
    pub ping: PingStatus,
    pub instance: InstanceStatus,
    pub running_matches: i64,
    /// How many matches the room takes at once; one and less is a single-match room.
    pub max_matches: i64,
    /// The status that is stored now.
    pub stored: RoomStatus,
    /// The room has a moment of allocation and the allocation's time to live is not over.
    pub allocation_fresh: bool,
}

/// The status that the room is to have (contract 4.4, calculator).
///
/// The guard of an allocation comes before the count of matches, in rooms of many
/// matches too: such a room stays allocated while it pings ready, whatever it runs.
pub fn effective(input: StatusInput) -> RoomStatus {
    let composed = compose(input.ping, input.instance);
    let allocated = input.stored == RoomStatus::Allocated && input.allocation_fresh;
    if composed == RoomStatus::Ready && allocated {
        return RoomStatus::Allocated;
    }
    let live = matches!(composed, RoomStatus::Ready | RoomStatus::Occupied);
    if input.max_matches <= 1 || !live {
        return composed;
    }
    match input.running_matches {
        ..=0 => RoomStatus::Ready,
        n if n >= input.max_matches => RoomStatus::Occupied,
        _ => RoomStatus::Active,
    }
}

/// Whether a room may go from one status to another (contract 4.4, second table).
///
/// To the same status is always allowed and changes nothing. The gaps of the table are
/// those of the contract (11.2 item 26), since pings answer by it: pending to active,
/// a live room to terminated and error to occupied are refused, terminated is the end.
pub fn transition_allowed(from: RoomStatus, to: RoomStatus) -> bool {
    use RoomStatus as S;
    if from == to {
        return true;
    }
    match from {
        S::Pending => {
            matches!(
                to,
                S::Ready | S::Terminating | S::Unready | S::Error | S::Occupied
            )
        }
        S::Ready => matches!(
            to,
            S::Occupied | S::Allocated | S::Terminating | S::Unready | S::Error | S::Active
        ),
        S::Unready => matches!(
            to,
            S::Terminating | S::Occupied | S::Ready | S::Error | S::Pending | S::Active
        ),
        S::Active => matches!(
            to,
            S::Ready | S::Occupied | S::Terminating | S::Unready | S::Error
        ),
        S::Occupied => matches!(
            to,
            S::Ready | S::Terminating | S::Unready | S::Error | S::Active
        ),
        S::Allocated => matches!(
            to,
            S::Active | S::Occupied | S::Ready | S::Terminating | S::Unready | S::Error
        ),
        S::Error => matches!(to, S::Terminating | S::Unready | S::Ready),
        S::Terminating => matches!(to, S::Error | S::Unready | S::Ready | S::Terminated),
        S::Terminated => false,
    }
}
