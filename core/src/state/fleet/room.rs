//! A room as its owner knows it, and the terms that decisions use for it.

use crate::domain::*;

/// A room as its owner knows it: what is stored, and what need not be.
#[derive(Clone, Debug)]
pub struct Room {
    /// What is stored of it.
    pub record: RoomRecord,
    /// Its times on the monotonic clock, for timeouts.
    pub clock: RoomClock,
    /// Whether it was ready since its start, or since its last restart in place.
    pub was_ready: bool,
    /// Since when it has not been ready after a container ended that was, or will be, restarted (D31).
    pub restart_since: Option<Mono>,
    /// Not allocated before then: after a loss of the store nobody knows whether it is held.
    pub quarantined_until: Option<Mono>,
    /// When it was last told to end.
    pub terminated_at: Option<Mono>,
    /// Its last report that forwarders were not told, because its address was not known (D34).
    pub untold: Option<PingStatus>,
    /// When the runtime confirmed its creation to this owner.
    pub made_at: Option<Mono>,
    /// Its history, for people.
    pub events: RoomEvents,
    /// Notes of the room table.
    pub(in crate::state) marks: Marks,
}

/// Notes of the room table, kept here rather than in maps of its own.
#[derive(Clone, Debug, Default)]
pub(in crate::state) struct Marks {
    /// When its health has to be checked next.
    pub(in crate::state) deadline: Option<Mono>,
    /// The generation of the ping cache that contains it; 0 if none does.
    pub(in crate::state) posted: u64,
    /// The last reconciliation that listed it.
    pub(in crate::state) met: u64,
    /// Whether its last ping has to be written.
    pub(in crate::state) touched: bool,
    /// Orders to create it that had no answer in time.
    pub(in crate::state) unanswered: u32,
    /// Its version has been blamed for the instance that is broken and has not ended.
    pub(in crate::state) blamed: bool,
    /// When a trouble ended that had kept it from starting.
    pub(in crate::state) placed: Option<Mono>,
    /// Its stored status may be an older one: the store lost changes, and it has not left that status since.
    pub(in crate::state) unheard: bool,
    /// It was found silent for too long when it should have been allocated, and has not pinged since (D33).
    pub(in crate::state) silent: bool,
}

impl Room {
    /// The stored status.
    pub fn status(&self) -> RoomStatus {
        self.record.reported.status
    }
    /// Why its instance does not come up, if the runtime says so.
    pub fn trouble(&self) -> Option<Trouble> {
        self.record.instance.as_ref()?.trouble
    }
    /// A match is running or about to begin: it must not be ended before that is over (invariant 11).
    pub fn is_busy(&self) -> bool {
        matches!(
            self.status(),
            RoomStatus::Occupied | RoomStatus::Active | RoomStatus::Allocated
        ) || (self.record.reported.ping == PingStatus::Occupied && self.is_restarting())
    }
    /// Whether it is busy, or may be. After a loss of the store a room that runs may be allocated, or in a match, and
    /// not have said so yet: it is spared like a busy one until its quarantine is over.
    pub fn may_be_busy(&self) -> bool {
        let runs = matches!(self.status(), RoomStatus::Unready | RoomStatus::Ready)
            && self.record.instance_status() == InstanceStatus::Ready;
        self.is_busy() || (runs && self.quarantined_until.is_some())
    }
    /// Whether a container waits for its restart in place: the room is broken, but keeps its place (D31). A runtime
    /// that has lost what it knew of the room lists it as pending, and completes it when it is ordered again.
    pub fn is_restarting(&self) -> bool {
        let is_coming =
            |i: &Instance| i.restarting.is_some() || i.status == InstanceStatus::Pending;
        self.status() == RoomStatus::Error && self.record.instance.as_ref().is_some_and(is_coming)
    }
    /// Whether only rows of it are left: it pinged, but nothing has seen its instance and no owner here made it.
    pub fn is_left_over(&self) -> bool {
        self.record.instance.is_none()
            && self.made_at.is_none()
            && self.record.reported.ping != PingStatus::Unknown
    }
    /// Whether players may be in it.
    pub fn is_up(&self) -> bool {
        matches!(
            self.status(),
            RoomStatus::Ready | RoomStatus::Occupied | RoomStatus::Active | RoomStatus::Allocated
        )
    }
    /// Whether it was decided to end it, now or after its match.
    pub fn is_leaving(&self) -> bool {
        self.record.intent.removal.is_some()
    }
    /// Whether it is being drained and its match is not over. Until then it counts like any other room, because the
    /// policies count its match too.
    pub fn is_draining(&self) -> bool {
        self.record.intent.removal.is_some_and(|r| r.drain) && self.may_be_busy()
    }
    /// Whether it counts towards the desired number (contract 5.7, step 3).
    pub fn is_available(&self) -> bool {
        !self.record.intent.validation
            && (!self.is_leaving() || self.is_draining())
            && (self.is_restarting()
                || !matches!(
                    self.status(),
                    RoomStatus::Terminating | RoomStatus::Terminated | RoomStatus::Error
                ))
    }
    /// Whether it can be given to a caller now; a room that was silent for too long is checked later (D33).
    pub fn is_allocatable(&self) -> bool {
        self.status() == RoomStatus::Ready
            && !self.record.intent.validation
            && !self.is_leaving()
            && self.quarantined_until.is_none()
            && self.record.address().is_some()
            && self.record.instance_status() == InstanceStatus::Ready
    }
}
