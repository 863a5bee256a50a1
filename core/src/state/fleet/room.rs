//! One room as its owner knows it, and the words that decisions have for it.

use crate::domain::*;

/// A room as the owner knows it: what is stored, and what is not worth storing.
#[derive(Clone, Debug)]
pub struct Room {
    pub record: RoomRecord,
    pub clock: RoomClock,
    /// It was ready once since its start, or since its last restart in place.
    pub was_ready: bool,
    /// Not ready again since a container of it ended and was, or is, to be started again (D31).
    pub restart_since: Option<Mono>,
    /// Given out only from then on: after both stores were lost nobody knows whether it is held.
    pub quarantined_until: Option<Mono>,
    /// When it was last told to end.
    pub terminated_at: Option<Mono>,
    /// What it said last and forwarders were not told, since its address was not known (D34).
    pub untold: Option<PingStatus>,
    /// When the runtime said, to this owner, that it had made it.
    pub made_at: Option<Mono>,
    pub events: RoomEvents,
    pub marks: Marks,
}

/// What the table itself notes at a room, beside it in memory instead of in a map of its own.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// The earliest moment at which its health has to be looked at.
    pub(in crate::state) deadline: Option<Mono>,
    /// It stands on the ping cache of this generation; 0: on none.
    pub(in crate::state) posted: u64,
    /// The last reconciliation that met it.
    pub(in crate::state) met: u64,
    /// Its last ping waits to be written.
    pub(in crate::state) touched: bool,
    /// It was silent for too long when it was to be given out, and has said nothing since (D33).
    pub(in crate::state) silent: bool,
}

impl Room {
    pub fn status(&self) -> RoomStatus {
        self.record.reported.status
    }
    /// A match is running, or somebody is about to come: not to be ended before that is over (invariant 11).
    pub fn is_busy(&self) -> bool {
        matches!(
            self.status(),
            RoomStatus::Occupied | RoomStatus::Active | RoomStatus::Allocated
        ) || (self.record.reported.ping == PingStatus::Occupied && self.is_restarting())
    }
    /// One of its containers waits to be started again in place: the room is broken, but it
    /// keeps its place (D31).
    pub fn is_restarting(&self) -> bool {
        self.status() == RoomStatus::Error
            && (self.record.instance.as_ref()).is_some_and(|i| i.restarting.is_some())
    }
    /// Players may be in it.
    pub fn is_up(&self) -> bool {
        matches!(
            self.status(),
            RoomStatus::Ready | RoomStatus::Occupied | RoomStatus::Active | RoomStatus::Allocated
        )
    }
    pub fn is_leaving(&self) -> bool {
        self.record.intent.removal.is_some()
    }
    /// It is drained, and its match is not over: until then it counts like any other,
    /// since the policies count its match too.
    pub fn is_draining(&self) -> bool {
        self.record.intent.removal.is_some_and(|r| r.drain) && self.is_busy()
    }
    /// Counts toward the desired number (contract 5.7, step 3).
    pub fn is_available(&self) -> bool {
        !self.record.intent.validation
            && (!self.is_leaving() || self.is_draining())
            && (self.is_restarting()
                || !matches!(
                    self.status(),
                    RoomStatus::Terminating | RoomStatus::Terminated | RoomStatus::Error
                ))
    }
    pub fn is_allocatable(&self) -> bool {
        self.status() == RoomStatus::Ready
            && !self.record.intent.validation
            && !self.is_leaving()
            && self.quarantined_until.is_none()
            && self.record.address().is_some()
            && self.record.instance_status() == InstanceStatus::Ready
    }
}
