//! `create_new_scheduler_version`: numbers a document, tests it in validation rooms if it is a major change, stores it
//! and enqueues the switch (contract 5.5).

use crate::domain::*;
use crate::ports::Change;
use crate::rules::back_off::doubled;
use crate::rules::version::{is_major, next_version};
use crate::state::fleet::Purpose;
use crate::state::fleet::{Fleet, Trial};
use crate::state::operations::progress::{Phase, Progress, Running, VersionRun};
use crate::state::operations::queue::{Enqueue, Operations};
use crate::state::turn::Turn;
use crate::state::work::Work;
use std::sync::Arc;
use std::time::Duration;

const LANE: Lane = Lane::Version;
/// First wait between two attempts; it doubles (contract 5.5).
const ATTEMPT_BACKOFF: Duration = Duration::from_millis(100);
const ATTEMPT_BACKOFF_MAX: Duration = Duration::from_millis(25_600);

impl Operations {
    pub fn begin_version(&mut self, fleet: &mut Fleet, turn: &mut Turn, wanted: &Scheduler) {
        let Some(active) = fleet.scheduler.clone() else {
            return;
        };
        let major = is_major(&active, wanted);
        let mut candidate = wanted.clone();
        candidate.spec.version = next_version(active.version(), fleet.versions.keys(), major);
        candidate.rollback_version = active.version().to_string();
        candidate.state = SchedulerPhase::Creating;
        let candidate = Arc::new(candidate);
        fleet.set_phase(turn, SchedulerPhase::Creating);
        let word = if major { "major" } else { "minor" };
        self.note(
            turn,
            LANE,
            &format!("new {word} version {}", candidate.version()),
        );
        if !major {
            return self.store_version(fleet, turn, candidate);
        }
        let phase = Phase::Waiting {
            until: turn.now.mono,
        };
        fleet.trial = Some(Trial {
            candidate,
            room: None,
        });
        self.set_progress(LANE, Progress::Version(VersionRun { attempt: 0, phase }));
        self.version_due(fleet, turn);
    }

    fn version_run(&mut self) -> Option<&mut VersionRun> {
        match self.running_mut(LANE) {
            Some(Running {
                progress: Progress::Version(run),
                ..
            }) => Some(run),
            _ => None,
        }
    }

    fn version_run_ref(&self) -> Option<&VersionRun> {
        match self.running(LANE) {
            Some(Running {
                progress: Progress::Version(run),
                ..
            }) => Some(run),
            _ => None,
        }
    }

    /// Begins the next attempt, or ends one that has timed out.
    pub fn version_due(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let now = turn.now.mono;
        match self.version_run_ref().map(|run| &run.phase) {
            Some(Phase::Waiting { until }) if *until <= now => self.begin_attempt(fleet, turn),
            Some(Phase::Trying { until }) if *until <= now => {
                let Some(room) = fleet.trial.as_ref().and_then(|trial| trial.room.clone()) else {
                    return;
                };
                let wait = self.settings.validation_timeout;
                let text = format!("room {room} was not ready after {} s", wait.as_secs());
                self.end_attempt(fleet, turn, &room, Some(text));
            }
            _ => {}
        }
    }

    fn begin_attempt(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        fleet.end_stray_validation_rooms(turn);
        let until = turn.now.mono.plus(self.settings.validation_timeout);
        let Some(running) = self.running(LANE) else {
            return;
        };
        let (operation, journal) = (running.record.id, &running.record.resume);
        // Attempts before a restart had their own rooms, whose ids are used up.
        let index = journal.attempt.saturating_mul(1000);
        let Some(run) = self.version_run() else {
            return;
        };
        run.attempt += 1;
        let attempt = run.attempt;
        let Some(room) = fleet.free_room_id(operation, index + attempt) else {
            return;
        };
        if let Some(run) = self.version_run() {
            run.phase = Phase::Trying { until };
        }
        let Some(trial) = &mut fleet.trial else {
            return;
        };
        trial.room = Some(room.clone());
        let candidate = trial.candidate.clone();
        self.set_step(LANE, "validating");
        self.note(
            turn,
            LANE,
            &format!("validation attempt {attempt}: room {room}"),
        );
        let purpose = Purpose::Ports {
            operation,
            room: room.clone(),
        };
        fleet.run(
            turn,
            purpose,
            Work::ReservePorts {
                room,
                scheduler: candidate,
            },
        );
    }

    /// A room's status or instance has changed; evaluates it if it is the validation room.
    pub fn validation_room_changed(&mut self, fleet: &mut Fleet, turn: &mut Turn, id: &RoomId) {
        let Some(room) = fleet.rooms.get(id.as_str()) else {
            return;
        };
        if !room.record.intent.validation {
            return;
        }
        let instance = room.record.instance.as_ref();
        let description = instance.map(|i| i.description.clone()).unwrap_or_default();
        match room.status() {
            RoomStatus::Ready => self.end_attempt(fleet, turn, id, None),
            RoomStatus::Occupied | RoomStatus::Active
                if self.settings.validation_accepts_occupied =>
            {
                self.end_attempt(fleet, turn, id, None);
            }
            RoomStatus::Error => {
                self.end_attempt(
                    fleet,
                    turn,
                    id,
                    Some(format!("room {id} is in error: {description}")),
                );
            }
            _ => {}
        }
    }

    /// The validation room is gone, or could not be created.
    pub fn validation_room_ended(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        id: &RoomId,
        cause: String,
    ) {
        match self.version_run_ref().map(|run| &run.phase) {
            Some(Phase::Trying { .. }) if fleet.is_on_trial(id) => {
                self.end_attempt(fleet, turn, id, Some(cause));
                self.validation_room_terminated(fleet, turn, id);
            }
            Some(Phase::Ending { room, .. }) if room == id => {
                self.validation_room_terminated(fleet, turn, id)
            }
            _ => {}
        }
    }

    /// Ends the attempt's room, whatever the outcome.
    fn end_attempt(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        id: &RoomId,
        error: Option<String>,
    ) {
        let Some(trial) = fleet
            .trial
            .as_mut()
            .filter(|trial| trial.room.as_ref() == Some(id))
        else {
            return;
        };
        trial.room = None;
        if let Some(run) = self.version_run() {
            run.phase = Phase::Ending {
                room: id.clone(),
                error,
            };
        }
        fleet.mark_removal(turn, id, RemovalReason::NewVersionValidationFinished, false);
        let operation = self.running(LANE).map(|r| r.record.id);
        if fleet.rooms.get(id.as_str()).is_some() {
            fleet.order_termination(turn, id, operation);
        } else {
            self.validation_room_terminated(fleet, turn, id);
        }
    }

    /// The attempt's room was told to end: now the outcome is evaluated.
    pub fn validation_room_terminated(&mut self, fleet: &mut Fleet, turn: &mut Turn, id: &RoomId) {
        let attempts = self.settings.validation_attempts.max(1);
        let now = turn.now.mono;
        let Some(run) = self.version_run() else {
            return;
        };
        let Phase::Ending { room, error } = &mut run.phase else {
            return;
        };
        if room != id {
            return;
        }
        let (error, attempt) = (error.take(), run.attempt);
        // Only once: a second report about the same room finds another phase.
        run.phase = Phase::Waiting {
            until: now.plus(doubled(ATTEMPT_BACKOFF, attempt, ATTEMPT_BACKOFF_MAX)),
        };
        let Some(candidate) = fleet.candidate() else {
            return;
        };
        match error {
            None => {
                self.note(
                    turn,
                    LANE,
                    &format!("validation attempt {attempt} succeeded"),
                );
                self.store_version(fleet, turn, candidate);
            }
            Some(cause) => {
                self.note(
                    turn,
                    LANE,
                    &format!("validation attempt {attempt} failed: {cause}"),
                );
                if let Some(running) = self.running_mut(LANE) {
                    running.record.resume.validation_attempts += 1;
                }
                if attempt >= attempts {
                    let text = format!(
                        "no validation room of {} was ready in {attempt} attempts",
                        candidate.version()
                    );
                    self.fail(fleet, turn, LANE, text);
                }
            }
        }
    }

    /// Stores the version and enqueues the switch to it, in one commit. Versions of a managed scheduler are started and
    /// published by orders of their own.
    fn store_version(&mut self, fleet: &mut Fleet, turn: &mut Turn, candidate: Arc<Scheduler>) {
        let version = candidate.version().clone();
        let created_at = turn.now.wall;
        let mut document = (*candidate).clone();
        document.created_at = created_at;
        let document = Arc::new(document);
        fleet.forget_old_versions(turn);
        fleet.versions.insert(version.clone(), document.clone());
        turn.changes.push(Change::CreateVersion {
            scheduler: document,
            created_at,
        });
        if fleet.is_managed() {
            fleet.edit_live(turn, &version, |_| {});
            fleet.settle_phase(turn);
            let text = format!("stored {version}, which is stopped: start it, then publish it");
            return self.finish(fleet, turn, LANE, &text);
        }
        let definition = Definition::SwitchActiveVersion {
            new_active_version: version.clone(),
        };
        let how = Enqueue {
            priority: true,
            ..Enqueue::default()
        };
        let switch = self.enqueue(turn, definition, how);
        self.finish(
            fleet,
            turn,
            LANE,
            &format!("stored {version}, enqueued its switch: operation {switch}"),
        );
    }
}
