//! The active document, and the stored versions from which rooms are created.

use crate::domain::*;
use crate::ports::Change;
use crate::rules::version::is_major;
use crate::state::fleet::Fleet;
use crate::state::turn::Turn;
use std::sync::Arc;

impl Fleet {
    /// Changes the active document, which is stored with this decision.
    pub fn edit_scheduler(&mut self, turn: &mut Turn, edit: impl FnOnce(&mut Scheduler)) {
        if let Some(scheduler) = &mut self.scheduler {
            edit(Arc::make_mut(scheduler));
            turn.changes.put_scheduler();
        }
    }

    pub fn set_phase(&mut self, turn: &mut Turn, phase: SchedulerPhase) {
        if self.scheduler.as_ref().is_some_and(|s| s.state != phase) {
            self.edit_scheduler(turn, |s| s.state = phase);
        }
    }

    /// The document of a version: the active, a stored, or the validated one.
    pub fn document_of(&self, version: &SchedulerVersion) -> Option<Arc<Scheduler>> {
        let active = self.scheduler.as_ref()?;
        if active.version() == version {
            return Some(active.clone());
        }
        self.versions
            .get(version)
            .cloned()
            .or_else(|| self.candidate_version(version))
    }

    pub fn is_on_trial(&self, id: &RoomId) -> bool {
        let room = self.trial.as_ref().and_then(|trial| trial.room.as_ref());
        room == Some(id)
    }

    /// The document under validation.
    pub fn candidate(&self) -> Option<Arc<Scheduler>> {
        self.trial.as_ref().map(|trial| trial.candidate.clone())
    }

    pub fn candidate_version(&self, version: &SchedulerVersion) -> Option<Arc<Scheduler>> {
        self.candidate().filter(|c| c.version() == version)
    }

    /// A switch begins a new rollout: a pause of the previous one is over.
    pub fn begin_rollout(&mut self, turn: &mut Turn) {
        if self.operator.rollout_paused {
            self.operator.rollout_paused = false;
            turn.changes.push(Change::PutOperator(self.operator));
        }
    }

    /// Keeps the number of stored versions within its limit, before another is added.
    pub fn forget_old_versions(&mut self, turn: &mut Turn) {
        let Some(active) = self.scheduler.clone() else {
            return;
        };
        while self.versions.len() >= self.settings.versions_limit.max(2) {
            let in_use = |version: &SchedulerVersion| {
                version == active.version()
                    || version.as_str() == active.rollback_version
                    || self
                        .live
                        .get(version)
                        .is_some_and(|live| live.phase != VersionPhase::Stopped)
                    || self.rooms.live(version).is_some()
                    || self.rooms.by_version().contains_key(version)
            };
            let oldest = self
                .versions
                .values()
                .filter(|v| !in_use(v.version()))
                .min_by_key(|v| v.created_at);
            let Some(oldest) = oldest.map(|v| v.version().clone()) else {
                return;
            };
            self.versions.remove(&oldest);
            self.outdated.remove(&oldest);
            self.live.remove(&oldest);
            turn.changes.push(Change::DeleteVersion(oldest));
        }
    }

    /// Updates everything that depends on which document is active.
    pub fn active_changed(&mut self, turn: &mut Turn) {
        let Some(active) = self.scheduler.clone() else {
            return;
        };
        self.rooms.set_active(active.version());
        self.audience_changed();
        self.rooms.clear_ping_cache();
        turn.reconsider = true;
        if self.is_managed() {
            // No version replaces another.
            self.outdated.clear();
            let is_published = self.published().is_some();
            return self.rooms.set_managed(is_published);
        }
        self.outdated = self
            .versions
            .iter()
            .filter(|(version, old)| *version != active.version() && is_major(old, &active))
            .map(|(version, _)| version.clone())
            .collect();
    }

    /// Otherwise the next evaluation of the fleet would undo the order (D15). The stored version is changed as well, so
    /// that a switch back to it keeps the number (D32).
    pub fn move_replicas(&mut self, turn: &mut Turn, by: i32) {
        let scaled = |s: &Arc<Scheduler>| s.autoscaling.as_ref().is_some_and(|a| a.enabled);
        if self.scheduler.as_ref().is_some_and(scaled) {
            return;
        }
        self.edit_scheduler(turn, |s| {
            s.rooms_replicas = s.rooms_replicas.saturating_add(by).max(0)
        });
        turn.reconsider = true;
        let Some(active) = &self.scheduler else {
            return;
        };
        if let Some(document) = self.versions.get_mut(active.version()) {
            Arc::make_mut(document).rooms_replicas = active.rooms_replicas;
            let change = Change::UpdateVersion(document.clone());
            turn.changes.push(change);
        }
    }

    /// An order to add rooms that failed leaves the desired number unchanged (D15, D16).
    pub fn take_back_replicas(&mut self, turn: &mut Turn, record: &OperationRecord) {
        if !record.resume.by_user {
            return;
        }
        match (&record.definition, record.status) {
            (Definition::AddRooms { amount, version }, _) => {
                self.move_rooms(turn, version.as_ref(), -amount);
            }
            (
                Definition::RemoveRooms {
                    amount,
                    rooms_ids: None,
                    version,
                    ..
                },
                OperationStatus::Pending,
            ) => self.move_rooms(turn, version.as_ref(), *amount),
            _ => {}
        }
    }
}
