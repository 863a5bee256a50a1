//! The part of a batch that concerns Redis, as commands of the script.

use super::command::Commands;
use super::keys::Keys;
use super::operation::{OperationValues, lease_second};
use super::room::{RoomValues, metadata_text};
use super::written::WrittenRooms;
use fred::types::Value;
use maestro_core::domain::{
    OperationId, OperationRecord, OperationStatus, RoomId, RoomRecord, RoomTouch, SchedulerName,
};
use maestro_core::ports::{Change, EndedOperation};
use std::time::Duration;

/// Translates the changes of one batch.
pub struct Translation<'a> {
    scheduler: &'a SchedulerName,
    keys: Keys<'a>,
    operations_ttl: Option<Duration>,
    commands: Commands,
    written: WrittenRooms,
}

impl<'a> Translation<'a> {
    /// `written` is what is known to be stored of the scheduler's rooms: only what differs is written.
    pub fn new(
        scheduler: &'a SchedulerName,
        operations_ttl: Option<Duration>,
        written: WrittenRooms,
    ) -> Self {
        Self {
            scheduler,
            keys: Keys(scheduler.as_str()),
            operations_ttl,
            commands: Commands::default(),
            written,
        }
    }

    /// The words for the script, and what is stored of the rooms once it has run. `remains` of what is no room are
    /// deleted first.
    pub fn of(mut self, remains: &[RoomId], changes: &[Change]) -> (Vec<Value>, WrittenRooms) {
        for room in remains {
            self.delete_room(room);
        }
        for change in changes {
            self.change(change);
        }
        (self.commands.into_words(), self.written)
    }

    fn change(&mut self, change: &Change) {
        match change {
            // The original must not read an outdated copy, should it be started again.
            Change::CreateScheduler(_) | Change::UpdateScheduler(_) => self.forget_document(),
            Change::DeleteScheduler { keep } => self.delete_scheduler(*keep),
            Change::Clear => self.clear(),
            Change::PutRoom(room) => self.put_room(room),
            Change::DeleteRoom(room) => self.delete_room(room),
            Change::TouchRooms(touches) => self.touch(touches),
            Change::PutOperation(operation) => self.put_operation(operation),
            Change::RenewOperationLease { operation, until } => {
                let words = [
                    self.keys.leases().into(),
                    self.keys.active().into(),
                    operation.to_string().into(),
                    lease_second(*until).into(),
                ];
                self.commands.push("LEASE", words);
            }
            Change::DeleteOperations(ids) => self.delete_operations(ids),
            // Rows of Postgres.
            Change::CreateVersion { .. }
            | Change::UpdateVersion(_)
            | Change::DeleteVersion(_)
            | Change::PutLiveVersion(_)
            | Change::PutRuntime(_)
            | Change::PutOperator(_) => {}
        }
    }

    fn forget_document(&mut self) {
        self.commands.push("UNLINK", [self.keys.cache().into()]);
    }

    fn delete_rooms(&mut self) {
        let keys = self.keys;
        let words = [
            keys.status().into(),
            keys.ping().into(),
            keys.occupancy().into(),
            keys.instances().into(),
            keys.rooms().into(),
        ];
        self.commands.push("ROOMS", words);
        self.written.clear();
    }

    /// The keys of operations that have not ended.
    fn open_operations(&self) -> [Value; 5] {
        let keys = self.keys;
        [
            keys.queue().into(),
            keys.taken().into(),
            keys.active().into(),
            keys.leases().into(),
            keys.journal().into(),
        ]
    }

    fn clear(&mut self) {
        self.delete_rooms();
        let [queue, taken, active, leases, journal] = self.open_operations();
        let prefix = self.keys.operations().into();
        let words = [queue, taken, active, leases, journal, prefix];
        self.commands.push("OPEN", words);
    }

    fn delete_scheduler(&mut self, keep: OperationId) {
        self.delete_rooms();
        let keys = self.keys;
        let [queue, taken, active, leases, journal] = self.open_operations();
        let words = [
            queue,
            taken,
            active,
            leases,
            journal,
            keys.history().into(),
            keys.no_action().into(),
            keys.operations().into(),
            keep.to_string().into(),
        ];
        self.commands.push("ALL", words);
        self.forget_document();
    }

    fn put_room(&mut self, room: &RoomRecord) {
        let keys = self.keys;
        let values = RoomValues::of(self.scheduler, room);
        let delta = self.written.put(room, &values);
        let hash = keys.room(&room.id);
        let name = room.id.as_str();
        let fields = delta.fields.iter().map(|field| {
            let value = values.hash.get(*field).cloned().unwrap_or_default();
            [Value::from(*field), value.into()]
        });
        let command = if delta.is_new { "HSET" } else { "UPDATE" };
        self.commands
            .push_groups(command, [hash.clone().into()], fields);
        if delta.is_released {
            self.commands
                .push("HDEL", [hash.into(), "allocated_at".into()]);
        }
        let scores = [
            (delta.status, keys.status(), values.status),
            (delta.ping, keys.ping(), values.ping),
            (delta.occupancy, keys.occupancy(), values.occupancy),
        ];
        for (differs, key, score) in scores {
            if let Some(score) = score.filter(|_| differs) {
                self.commands
                    .push("ZADD", [key.into(), score.into(), name.into()]);
            }
        }
        if delta.instance {
            let key = keys.instances().into();
            match values.instance {
                Some(pod) => self.commands.push("HSET", [key, name.into(), pod.into()]),
                None => self.commands.push("HDEL", [key, name.into()]),
            }
        }
    }

    fn delete_room(&mut self, room: &RoomId) {
        let keys = self.keys;
        let name = || Value::from(room.as_str());
        self.commands.push("UNLINK", [keys.room(room).into()]);
        for key in [keys.status(), keys.ping(), keys.occupancy()] {
            self.commands.push("ZREM", [key.into(), name()]);
        }
        self.commands
            .push("HDEL", [keys.instances().into(), name()]);
        self.written.delete(room);
    }

    /// Rooms that are gone are in no set, and have no hash.
    fn touch(&mut self, touches: &[RoomTouch]) {
        let keys = self.keys;
        let pings = touches.iter().map(|touch| {
            let second = touch.last_ping_at.as_second();
            [second.into(), touch.room.as_str().into()]
        });
        let existing = || Value::from("XX");
        self.commands
            .push_groups("ZADD", [keys.ping().into(), existing()], pings);
        let matches = touches
            .iter()
            .filter(|touch| self.written.matches(&touch.room) != Some(touch.matches))
            .map(|touch| [touch.matches.into(), touch.room.as_str().into()]);
        self.commands
            .push_groups("ZADD", [keys.occupancy().into(), existing()], matches);
        for touch in touches {
            if self.written.touch(touch) {
                let metadata = metadata_text(touch.metadata.as_deref());
                let words = [
                    keys.room(&touch.room).into(),
                    "ping_status".into(),
                    i64::from(touch.ping as u8).into(),
                    "metadata".into(),
                    metadata.into(),
                ];
                self.commands.push("TOUCH", words);
            }
        }
    }

    fn put_operation(&mut self, record: &OperationRecord) {
        let keys = self.keys;
        let values = OperationValues::of(record);
        let id = || Value::from(record.id.to_string());
        let hash = keys.operation(record.id);
        let fields = values
            .hash
            .into_iter()
            .map(|(name, value)| [name.into(), value.into()]);
        self.commands
            .push_groups("HSET", [hash.clone().into()], fields);
        let queues = || (keys.queue().into(), keys.taken().into());
        let (queue, taken) = queues();
        if record.status == OperationStatus::Pending {
            // The head is next; the latest operation with priority comes first (contract 5.2).
            let side = if record.priority { "LPUSH" } else { "RPUSH" };
            self.commands
                .push("QUEUE", [queue, taken, side.into(), id()]);
        } else {
            self.commands.push("UNQUEUE", [queue, taken, id()]);
        }
        let place = match record.status {
            OperationStatus::Pending => 0,
            OperationStatus::InProgress => 1,
            _ if EndedOperation::of(record).no_action => 3,
            _ => 2,
        };
        let words = [
            keys.active().into(),
            keys.history().into(),
            keys.no_action().into(),
            id(),
            Value::Integer(place),
            values.since.unwrap_or(0).into(),
        ];
        self.commands.push("PLACE", words);
        match values.lease {
            Some(until) => self
                .commands
                .push("ZADD", [keys.leases().into(), until.into(), id()]),
            None => self.commands.push("ZREM", [keys.leases().into(), id()]),
        }
        match values.journal {
            Some(entry) => {
                self.commands
                    .push("HSET", [keys.journal().into(), id(), entry.into()]);
            }
            None => self.commands.push("HDEL", [keys.journal().into(), id()]),
        }
        if record.definition.is_periodic() {
            self.expire(hash, record.status);
        }
    }

    /// The original's periodic operations expire from their creation on; one that is open must not.
    fn expire(&mut self, hash: String, status: OperationStatus) {
        match self.operations_ttl {
            Some(ttl) if status.is_final() => {
                let seconds = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
                self.commands.push("EXPIRE", [hash.into(), seconds.into()]);
            }
            _ => self.commands.push("PERSIST", [hash.into()]),
        }
    }

    fn delete_operations(&mut self, ids: &[OperationId]) {
        let keys = self.keys;
        let hashes = ids.iter().map(|id| [keys.operation(*id).into()]);
        self.commands.push_groups("UNLINK", [], hashes);
        let names = || ids.iter().map(|id| [Value::from(id.to_string())]);
        for key in [
            keys.history(),
            keys.no_action(),
            keys.active(),
            keys.leases(),
        ] {
            self.commands.push_groups("ZREM", [key.into()], names());
        }
        self.commands
            .push_groups("HDEL", [keys.journal().into()], names());
    }
}
