//! What the counts and indexes of the room table know of a room.

use super::room::Room;
use crate::domain::*;

/// The properties of a room that counts depend on.
#[derive(Clone, PartialEq)]
pub(super) struct Class {
    pub status: RoomStatus,
    pub counted: bool,
    pub kept: bool,
    /// It was being drained and is idle now.
    pub drained: bool,
    pub available: bool,
    pub busy: bool,
    pub draining: bool,
    pub starting: bool,
    pub allocatable: bool,
    pub silent: bool,
    pub matches: i64,
    pub instance: Option<InstanceStatus>,
    pub version: SchedulerVersion,
}

impl Class {
    pub fn of(room: &Room) -> Self {
        Self {
            status: room.record.reported.status,
            counted: !room.record.intent.validation,
            kept: !room.record.intent.validation && (!room.is_leaving() || room.is_draining()),
            drained: room.record.intent.removal.is_some_and(|r| r.drain) && !room.is_busy(),
            available: room.is_available(),
            busy: room.is_busy(),
            draining: room.is_draining(),
            starting: room.is_restarting()
                || matches!(
                    room.record.reported.status,
                    RoomStatus::Pending | RoomStatus::Unready
                ),
            allocatable: room.is_allocatable(),
            silent: room.marks.silent,
            matches: room.record.reported.matches.max(0),
            instance: room.record.instance.as_ref().map(|i| i.status),
            version: room.record.intent.version.clone(),
        }
    }
}
