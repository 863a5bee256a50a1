//! A process as seen from outside.

use maestro_core::domain::{RoomId, SchedulerName};

/// A process of one of an installation's rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomProcess {
    pub pid: i32,
    pub scheduler: SchedulerName,
    pub room: RoomId,
    pub container: String,
}
