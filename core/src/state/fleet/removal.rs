//! Marks rooms for removal, and chooses among those that may be removed.

use crate::domain::*;
use crate::rules::deletion;
use crate::state::fleet::Fleet;
use crate::state::fleet::room::Room;
use crate::state::report::Report;
use crate::state::turn::Turn;
use std::collections::HashSet;

impl Fleet {
    /// Records that a room will be removed; from now on it is not allocated.
    pub fn mark_removal(
        &mut self,
        turn: &mut Turn,
        id: &RoomId,
        reason: RemovalReason,
        drain: bool,
    ) {
        let at = turn.now.wall;
        let hang = match reason {
            RemovalReason::ExpiredRoom => self.hang_of(turn.now, id),
            _ => None,
        };
        let changed = self.rooms.update(id.as_str(), |room| {
            let stronger = room.record.intent.removal.is_none_or(|r| r.drain && !drain);
            if stronger {
                room.record.intent.removal = Some(Removal { reason, at, drain });
                room.events.push(
                    at,
                    match drain {
                        true => RoomHappening::Draining(reason),
                        false => RoomHappening::Removing(reason),
                    },
                );
            }
            stronger
        });
        if changed == Some(true) {
            turn.changes.put_room(id);
            turn.reconsider = true;
            self.schedule_health(turn.now, id);
            if let Some(hang) = hang {
                turn.reports.push(Report::RoomHangs(Box::new(hang)));
            }
        }
    }

    /// Keeps rooms whose removal a user ordered and canceled before anything happened to them.
    pub fn keep_rooms_of(&mut self, turn: &mut Turn, canceled: &OperationRecord) {
        let Definition::RemoveRooms {
            rooms_ids: Some(ids),
            ..
        } = &canceled.definition
        else {
            return;
        };
        if !canceled.resume.by_user {
            return;
        }
        for id in ids {
            let kept = self.rooms.update(id.as_str(), |room| {
                let removal = room.record.intent.removal;
                let asked =
                    removal.is_some_and(|r| r.drain && r.reason == RemovalReason::RequestedByUser);
                if asked {
                    room.record.intent.removal = None;
                }
                asked
            });
            if kept == Some(true) {
                turn.changes.put_room(id);
                turn.reconsider = true;
                self.schedule_health(turn.now, id);
            }
        }
    }

    /// Whether a chosen room may still be removed. It may have changed since: a silent one may have pinged, and one
    /// that should be drained first may have a match.
    pub fn may_still_go(&self, now: Now, id: &RoomId, reason: RemovalReason) -> bool {
        let Some(room) = self.rooms.get(id.as_str()) else {
            return false;
        };
        match (reason, room.record.intent.removal) {
            (_, Some(removal)) if !removal.drain => true,
            (RemovalReason::ExpiredRoom, _) => self.is_expired(now, id),
            // It was to go after its match, and its version was started again meanwhile.
            (RemovalReason::VersionStopped, None) => {
                !room.may_be_busy() && !self.wants_rooms_of(&room.record.intent.version)
            }
            (RemovalReason::ScaleDown | RemovalReason::RollingUpdateReplace, _) | (_, Some(_)) => {
                !room.may_be_busy()
            }
            _ => true,
        }
    }

    /// Whether a rollout replaces it: by its version, or by its configuration if its version is managed.
    fn is_outdated(&self, room: &Room) -> bool {
        let intent = &room.record.intent;
        match self.live.get(&intent.version) {
            Some(live) => intent.config_revision < live.fresh_from,
            None => !self.is_managed() && self.outdated.contains(&intent.version),
        }
    }

    pub fn deletion_order(
        &self,
        now: Now,
        amount: usize,
        reason: RemovalReason,
        version: Option<&SchedulerVersion>,
    ) -> deletion::Deletion {
        let Some(active) = &self.scheduler else {
            return deletion::Deletion::default();
        };
        let major_of = |version: &SchedulerVersion| version.semver().map(|v| v.major);
        let major = major_of(active.version());
        // There are few versions and many rooms, so the version numbers are compared once.
        let in_use = self.rooms.by_version().keys();
        let same_major: HashSet<&SchedulerVersion> =
            in_use.filter(|v| major_of(v) == major).collect();
        let now = now.mono;
        // A rollout replaces old rooms only: new ones would be replaced without end.
        let rolling = reason == RemovalReason::RollingUpdateReplace;
        let replaced = |room: &&Room| !rolling || self.is_outdated(room);
        let asked = |room: &&Room| version.is_none_or(|of| room.record.intent.version == *of);
        // Rooms that drain already are being removed: `amount` counts others.
        let candidates = self
            .rooms
            .iter()
            .filter(|room| !room.is_leaving() && !room.record.intent.validation)
            .filter(asked)
            .filter(replaced)
            .map(|room| deletion::DeletionCandidate {
                id: &room.record.id,
                // It is in error while a container is being restarted, but a match runs in another one.
                status: match room.is_restarting() && room.is_busy() {
                    true => RoomStatus::Occupied,
                    false => room.status(),
                },
                doubtful: room.may_be_busy() && !room.is_busy(),
                same_major: same_major.contains(&room.record.intent.version),
                same_version: room.record.intent.version == *active.version(),
                ping_expired: now.since(room.clock.last_ping) > self.settings.ping_timeout,
            });
        deletion::deletion_order(candidates, amount)
    }

    /// Whether it is a validation room that no operation uses any more. A drain that was ordered does not keep it, and
    /// may be canceled.
    pub fn is_stray(&self, room: &Room) -> bool {
        let told = room.record.intent.end().is_some();
        room.record.intent.validation && !told && !self.is_on_trial(&room.record.id)
    }

    pub fn end_stray_validation_rooms(&mut self, turn: &mut Turn) {
        let strays = self.rooms.iter().filter(|room| self.is_stray(room));
        let strays: Vec<RoomId> = strays.map(|r| r.record.id.clone()).collect();
        for id in strays {
            self.mark_removal(
                turn,
                &id,
                RemovalReason::NewVersionValidationFinished,
                false,
            );
            if !self.work.is_about(&id) {
                self.order_termination(turn, &id, None);
            }
        }
    }
}
