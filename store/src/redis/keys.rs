//! Names of the keys (contract 8.2), and ours beside them.

use maestro_core::domain::{OperationId, RoomId};
use uuid::Uuid;

/// Field per scheduler: `epoch:seq` of the last commit. Ours, for all schedulers.
pub const FENCE: &str = "maestro:fence";
/// Requests to cancel operations (contract 5.10).
pub const CANCELLATIONS: &str = "scheduler:operation_cancellation_requests";
/// All queues begin with this.
pub const QUEUES: &str = "pending_operations:";
/// The journals of all schedulers begin with this. Ours.
pub const JOURNALS: &str = "maestro:journal:";

/// The space of the names in the keys of journals.
const NAMES: Uuid = Uuid::from_u128(0x0d8c_6a52_7f3b_4e0a_9a1e_6b1c_2f44_91d7);
/// The end of the name of a queue whose operations were taken from the main one.
const AUXILIARY: &str = ":auxiliary";

/// The keys of one scheduler. The name rule forbids colons, so those of two schedulers never collide.
#[derive(Clone, Copy)]
pub struct Keys<'a>(pub &'a str);

impl Keys<'_> {
    /// The original's cached document.
    pub fn cache(self) -> String {
        format!("scheduler:{}", self.0)
    }
    /// Room → status.
    pub fn status(self) -> String {
        format!("scheduler:{}:status", self.0)
    }
    /// Room → last ping, unix seconds.
    pub fn ping(self) -> String {
        format!("scheduler:{}:ping", self.0)
    }
    /// Room → running matches.
    pub fn occupancy(self) -> String {
        format!("scheduler:{}:occupancy", self.0)
    }
    /// The hash of a room.
    pub fn room(self, room: &RoomId) -> String {
        format!("{}{room}", self.rooms())
    }
    /// The beginning of the names of its rooms' hashes.
    pub fn rooms(self) -> String {
        format!("scheduler:{}:rooms:", self.0)
    }
    /// Room → its instance.
    pub fn instances(self) -> String {
        format!("scheduler:{}:podMap", self.0)
    }
    /// The hash of an operation.
    pub fn operation(self, id: OperationId) -> String {
        format!("{}{id}", self.operations())
    }
    /// The beginning of the names of its operations' hashes.
    pub fn operations(self) -> String {
        format!("operations:{}:", self.0)
    }
    /// Running operations → when they began.
    pub fn active(self) -> String {
        format!("operations:{}:lists:active", self.0)
    }
    /// Ended operations → when they ended.
    pub fn history(self) -> String {
        format!("operations:{}:lists:history", self.0)
    }
    /// Operations that finished without having done anything → when they ended.
    pub fn no_action(self) -> String {
        format!("operations:{}:lists:noaction", self.0)
    }
    /// Running operations → the end of their leases.
    pub fn leases(self) -> String {
        format!("operations:{}:operationsLease", self.0)
    }
    /// Ids of operations that wait; the head is next.
    pub fn queue(self) -> String {
        format!("{QUEUES}{}", self.0)
    }
    /// Ids that the original took from the queue and has not run yet; before those of the queue.
    pub fn taken(self) -> String {
        format!("{QUEUES}{}{AUXILIARY}", self.0)
    }
    /// Open operation → what the contract's hash has no place for. Ours. One hash for each scheduler, so that its part
    /// is read and deleted by one command; a single hash for all would have to be read as a whole.
    ///
    /// It does not spell the name: whoever lists the keys with a scheduler's name finds those of the contract.
    pub fn journal(self) -> String {
        let scheduler = Uuid::new_v5(&NAMES, self.0.as_bytes());
        format!("{JOURNALS}{}", scheduler.simple())
    }
}

/// The scheduler whose queue has this key.
pub fn queue_of(key: &str) -> Option<&str> {
    let name = key.strip_prefix(QUEUES)?;
    let name = name.strip_suffix(AUXILIARY).unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_queues_name_their_scheduler() {
        let keys = Keys("arena");
        assert_eq!(queue_of(&keys.queue()), Some("arena"));
        assert_eq!(queue_of(&keys.taken()), Some("arena"));
        assert_eq!(queue_of(QUEUES), None);
        assert_eq!(queue_of(&keys.active()), None);
    }
}
