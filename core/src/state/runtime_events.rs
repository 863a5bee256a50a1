//! What the runtime reports: instances that appeared, changed and went (contract 4.5).

use super::room::Marks;
use super::*;
use crate::ports::RuntimeEvent;

impl SchedulerState {
    pub(super) fn on_runtime(&mut self, turn: &mut Turn, event: RuntimeEvent) {
        match event {
            RuntimeEvent::Listed(instances) => self.on_listed(turn, instances),
            RuntimeEvent::Changed(instance) => {
                self.overtakes_list(&instance.room);
                self.on_instance(turn, instance);
            }
            RuntimeEvent::Gone { room, uid, exit } => {
                self.overtakes_list(&room);
                self.on_gone(turn, &room, &uid, exit);
            }
        }
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

    pub(super) fn on_instance(&mut self, turn: &mut Turn, instance: Instance) {
        let id = instance.room.clone();
        let Some(room) = self.rooms.get(id.as_str()) else {
            return self.on_unknown_instance(turn, instance);
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
        let known = room.record.instance.as_ref();
        let before = known.and_then(|known| known.restarting);
        let (after, status) = (instance.restarting, instance.status);
        let replaced = self.rooms.update(id.as_str(), |room| {
            let before = room.record.instance.replace(instance);
            let after = room.record.instance.as_ref();
            // Only the counter moved: not worth a write.
            match (before, after) {
                (Some(before), Some(after)) => {
                    before.status != after.status
                        || before.address != after.address
                        || before.description != after.description
                        || before.restarting != after.restarting
                }
                _ => true,
            }
        });
        if replaced == Some(true) {
            turn.changes.put_room(&id);
            self.note_instance(turn.now, &id);
        }
        match (before, after) {
            (before, Some(restart)) if before != after => self.on_restart(turn, &id, restart),
            (Some(_), None) if status == InstanceStatus::Ready => self.on_restarted(turn, &id),
            _ => {}
        }
        // A refused transition leaves the status: the instance is still recorded.
        let _ = self.recompute_status(turn, &id);
        self.schedule_health(turn.now, &id);
        self.forward_untold(turn, &id);
        self.validation_room_changed(turn, &id);
    }

    /// An instance that no row knows. After a loss of the store the fleet is rebuilt from
    /// these. What was to be ended gets a row too, so that it is told again until it has.
    fn on_unknown_instance(&mut self, turn: &mut Turn, instance: Instance) {
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
        self.adopt(turn, instance);
        if let Some(reason) = end {
            self.mark_removal(turn, &id, reason, false);
            self.order_termination(turn, &id, None);
        }
    }

    fn adopt(&mut self, turn: &mut Turn, instance: Instance) {
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
            created_at: turn.now.wall,
            last_ping_at: turn.now.wall,
            allocated_at: None,
            first_ready_at: None,
            played: false,
            host_ports: ports.filter_map(|p| u16::try_from(p.port).ok()).collect(),
            removal: None,
            instance: None,
        };
        let hold = turn.now.mono.plus(self.settings.allocation_hold);
        self.insert_room(turn, record);
        self.rooms.update(id.as_str(), |room| {
            room.quarantined_until = Some(hold);
            room.was_ready = true;
        });
        self.on_instance(turn, instance);
    }

    pub(super) fn insert_room(&mut self, turn: &mut Turn, record: RoomRecord) {
        let now = turn.now.mono;
        let id = record.id.clone();
        let mut events = RoomEvents::default();
        let made = record.made_by.is_some();
        let event = if made {
            RoomHappening::Created
        } else {
            RoomHappening::Adopted
        };
        events.push(turn.now.wall, event);
        self.rooms.insert(Room {
            record,
            clock: RoomClock {
                created: now,
                last_ping: now,
                allocated: None,
                first_ready: None,
                status_since: now,
            },
            was_ready: false,
            quarantined_until: None,
            terminated_at: None,
            untold: None,
            made_at: None,
            restart_since: None,
            events,
            marks: Marks::default(),
        });
        turn.changes.put_room(&id);
        self.schedule_health(turn.now, &id);
    }
}
