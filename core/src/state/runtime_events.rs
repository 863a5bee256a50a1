//! What the runtime reports: instances that appeared, changed and went (contract 4.5).

use super::*;
use crate::ports::{RoomOrder, RuntimeEvent};

impl SchedulerState {
    pub(super) fn on_runtime(&mut self, event: RuntimeEvent) {
        match event {
            RuntimeEvent::Listed(instances) => self.on_listed(instances),
            RuntimeEvent::Changed(instance) => self.on_instance(instance),
            RuntimeEvent::Gone { room, uid, exit } => self.on_gone(&room, &uid, exit),
        }
    }

    /// A complete list: what is not on it is gone, what was ordered is ordered again.
    fn on_listed(&mut self, instances: Vec<Instance>) {
        let (namesakes, instances): (Vec<_>, Vec<_>) =
            instances.into_iter().partition(|i| self.is_namesake(i));
        let present: HashSet<RoomId> = instances.iter().map(|i| i.room.clone()).collect();
        for instance in instances {
            self.on_instance(instance);
        }
        self.listed = true;
        self.dirty.reconsider = true;
        // A paused scheduler takes absence for an unfinished report (architecture 6).
        if self.is_paused() || self.scheduler.is_none() {
            return;
        }
        let absent: Vec<RoomId> = self
            .rooms
            .iter()
            .filter(|room| !present.contains(&room.record.id))
            .map(|room| room.record.id.clone())
            .collect();
        for id in absent {
            let replaced = namesakes.iter().any(|i| i.room == id);
            if replaced || !self.is_just_made(&id) {
                self.on_absent(&id);
            }
        }
        // What had their names is gone: they are instances that no row knows.
        for namesake in namesakes {
            self.on_instance(namesake);
        }
        self.issue_intents_again();
    }

    /// Orders what is written down, and what an owner before, or a pause, may have left
    /// undone: the runtime takes every order twice.
    pub(super) fn issue_intents_again(&mut self) {
        self.end_stray_validation_rooms();
        let (mut unmade, mut told) = (Vec::new(), Vec::new());
        for room in self.rooms.iter() {
            let id = &room.record.id;
            match room.record.removal {
                Some(removal) if !removal.drain => told.push(id.clone()),
                None if room.record.instance.is_none() => unmade.push(id.clone()),
                _ => {}
            }
        }
        unmade.retain(|id| !self.is_under_way(id));
        told.retain(|id| !self.is_under_way(id));
        unmade.iter().for_each(|id| self.recreate(id));
        told.iter().for_each(|id| self.order_termination(id, None));
    }

    fn recreate(&mut self, id: &RoomId) {
        if let Some(order) = self.order_of(id) {
            let purpose = Purpose::Recreate { room: id.clone() };
            self.run(purpose, Work::CreateRoom(order));
        }
    }

    /// A row without an instance: it was never made (the intent is repeated), or it has ended.
    fn on_absent(&mut self, id: &RoomId) {
        if self.is_under_way(id) {
            return;
        }
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        let validation = room.record.validation;
        let unmade = room.record.instance.is_none() && !room.is_leaving();
        // Its intent stands: it is ordered again.
        if unmade && self.order_of(id).is_some() {
            return;
        }
        if room.is_leaving() {
            // A creation of an owner before may still come to life.
            self.bury(id.clone());
        }
        self.tell_end(id);
        self.forget_room(id);
        if validation {
            let text = format!("room {id} is not in the runtime any more");
            self.validation_room_ended(id, text);
        }
    }

    /// A list may be older than the answer to a creation: that it lacks the room says nothing.
    fn is_just_made(&self, id: &RoomId) -> bool {
        let room = self.rooms.get(id.as_str());
        let made = room.and_then(|room| room.made_at);
        made.is_some_and(|at| self.now.mono.since(at) < self.settings.runtime_timeout)
    }

    /// Same id, another start: foreign (architecture 3).
    fn is_namesake(&self, instance: &Instance) -> bool {
        let known = self.rooms.get(instance.room.as_str());
        known
            .and_then(|room| room.record.instance.as_ref())
            .is_some_and(|known| known.uid != instance.uid)
    }

    /// Rooms of a validation that nobody goes on with.
    pub(super) fn end_stray_validation_rooms(&mut self) {
        let strays = self.rooms.iter().filter(|r| {
            let id = &r.record.id;
            r.record.validation && !r.is_leaving() && !self.is_on_trial(id)
        });
        let strays: Vec<RoomId> = strays.map(|r| r.record.id.clone()).collect();
        for id in strays {
            self.mark_removal(&id, RemovalReason::NewVersionValidationFinished, false);
            if !self.is_under_way(&id) {
                self.order_termination(&id, None);
            }
        }
    }

    /// A call that makes or ends this room has not come back yet.
    fn is_under_way(&self, id: &RoomId) -> bool {
        self.work.values().any(|purpose| purpose.room() == Some(id))
    }

    pub(super) fn order_of(&self, id: &RoomId) -> Option<RoomOrder> {
        let room = self.rooms.get(id.as_str())?;
        let scheduler = self.document_of(&room.record.version)?;
        Some(RoomOrder {
            room: id.clone(),
            scheduler,
            validation: room.record.validation,
            host_ports: room.record.host_ports.clone(),
        })
    }

    /// The document of a version: the active one, a stored one, or one under validation.
    pub(super) fn document_of(&self, version: &SchedulerVersion) -> Option<Arc<Scheduler>> {
        let active = self.scheduler.as_ref()?;
        if active.version() == version {
            return Some(active.clone());
        }
        self.versions
            .get(version)
            .cloned()
            .or_else(|| self.candidate_version(version))
    }

    pub(super) fn on_instance(&mut self, instance: Instance) {
        let id = instance.room.clone();
        let Some(room) = self.rooms.get(id.as_str()) else {
            return self.on_unknown_instance(instance);
        };
        if self.is_namesake(&instance) {
            return;
        }
        if let Some(known) = &room.record.instance {
            let older = known.resource_version > instance.resource_version;
            if older || *known == instance {
                return;
            }
        }
        let replaced = self.rooms.update(id.as_str(), |room| {
            let before = room.record.instance.replace(instance);
            let after = room.record.instance.as_ref();
            // Only the counter moved: not worth a write.
            match (before, after) {
                (Some(before), Some(after)) => {
                    before.status != after.status
                        || before.address != after.address
                        || before.description != after.description
                }
                _ => true,
            }
        });
        if replaced == Some(true) {
            self.dirty.rooms.insert(id.clone());
            self.note_instance(&id);
        }
        // A refused transition leaves the status: the instance is still recorded.
        let _ = self.recompute_status(&id);
        self.schedule_health(&id);
        self.validation_room_changed(&id);
    }

    /// An instance that no row knows. After a loss of the store the fleet is rebuilt from
    /// these. What was to be ended gets a row too, so that it is told again until it has.
    fn on_unknown_instance(&mut self, instance: Instance) {
        if self.scheduler.is_none() {
            return;
        }
        let id = instance.room.clone();
        let end = if self.is_deleting() {
            Some(RemovalReason::SchedulerDeleted)
        } else if instance.validation {
            Some(RemovalReason::NewVersionValidationFinished)
        } else if self.graveyard.contains_key(&id) {
            Some(RemovalReason::CreationFailed)
        } else {
            None
        };
        self.adopt(instance);
        if let Some(reason) = end {
            self.mark_removal(&id, reason, false);
            self.order_termination(&id, None);
        }
    }

    fn adopt(&mut self, instance: Instance) {
        let id = instance.room.clone();
        let ports = instance.address.iter().flat_map(|a| a.ports.iter());
        let record = RoomRecord {
            id: id.clone(),
            version: instance.version.clone(),
            status: RoomStatus::Pending,
            ping_status: PingStatus::Unknown,
            running_matches: 0,
            metadata: None,
            validation: instance.validation,
            made_by: None,
            created_at: self.now.wall,
            last_ping_at: self.now.wall,
            allocated_at: None,
            host_ports: ports.filter_map(|p| u16::try_from(p.port).ok()).collect(),
            removal: None,
            instance: None,
        };
        let hold = self.now.mono.plus(self.settings.allocation_hold);
        self.insert_room(record);
        self.rooms.update(id.as_str(), |room| {
            room.quarantined_until = Some(hold);
            room.was_ready = true;
        });
        self.on_instance(instance);
    }

    pub(super) fn insert_room(&mut self, record: RoomRecord) {
        let now = self.now.mono;
        let id = record.id.clone();
        let mut events = RoomEvents::default();
        let made = record.made_by.is_some();
        let event = if made {
            RoomHappening::Created
        } else {
            RoomHappening::Adopted
        };
        events.push(self.now.wall, event);
        self.rooms.insert(Room {
            record,
            clock: RoomClock {
                created: now,
                last_ping: now,
                allocated: None,
                status_since: now,
            },
            was_ready: false,
            quarantined_until: None,
            terminated_at: None,
            end_told: false,
            made_at: None,
            events,
        });
        self.dirty.rooms.insert(id.clone());
        self.schedule_health(&id);
    }

    fn on_gone(&mut self, id: &RoomId, uid: &str, exit: Option<Exit>) {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return;
        };
        if room.record.instance.as_ref().is_some_and(|i| i.uid != uid) {
            return;
        }
        let told = room.record.removal.is_some_and(|removal| !removal.drain)
            || matches!(
                room.status(),
                RoomStatus::Terminating | RoomStatus::Terminated
            );
        self.measured.ends.properly += u64::from(told);
        let never_ready = !room.was_ready && !room.is_leaving();
        let (validation, made_by) = (room.record.validation, room.record.made_by);
        let version = room.record.version.clone();
        let text = describe_end(id, exit.as_ref());
        self.remember_end(id, exit);
        self.tell_end(id);
        self.forget_room(id);
        if validation {
            self.validation_room_ended(id, text);
        } else if never_ready {
            if let Some(operation) = made_by {
                self.note_in_ended(operation, &text);
            }
            self.version_failed(&version, text);
        }
    }

    /// Takes a room's row away: the runtime has no instance of it any more.
    pub(super) fn forget_room(&mut self, id: &RoomId) {
        self.expired.remove(id);
        self.touched.remove(id);
        if self.rooms.remove(id.as_str()).is_some() {
            self.dirty.rooms.insert(id.clone());
            self.dirty.reconsider = true;
        }
    }
}

/// One line for the history: how it ended, and its last words.
fn describe_end(id: &RoomId, exit: Option<&Exit>) -> String {
    let mut text = format!("room {id} ended before it was ready");
    let Some(exit) = exit else { return text };
    match (exit.code, exit.signal) {
        (Some(code), _) => text.push_str(&format!(": exit code {code}")),
        (None, Some(signal)) => text.push_str(&format!(": killed by signal {signal}")),
        (None, None) => {}
    }
    if !exit.reason.is_empty() {
        text.push_str(&format!(" ({})", exit.reason));
    }
    if !exit.log_tail.is_empty() {
        text.push_str(&format!("; last log lines: {}", exit.log_tail.join(" | ")));
    }
    text
}
