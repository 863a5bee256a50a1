//! `create_new_scheduler_version`: numbers a document, tests it in validation rooms if it is a major change, stores it
//! and enqueues the switch (contract 5.5).

use crate::domain::*;
use crate::ports::Change;
use crate::rules::back_off::doubled;
use crate::rules::version::{is_major, next_version};
use crate::state::fleet::Purpose;

use crate::state::fleet::{Fleet, Room, Trial};
use crate::state::operations::progress::{Fault, FaultKind, Phase, Progress, Running, VersionRun};
use crate::state::operations::queue::{Enqueue, Operations};
use crate::state::turn::Turn;
use crate::state::work::Work;
use std::sync::Arc;
use std::time::Duration;

const LANE: Lane = Lane::Version;
/// First wait between two attempts; it doubles (contract 5.5).
const ATTEMPT_BACKOFF: Duration = Duration::from_millis(100);
const ATTEMPT_BACKOFF_MAX: Duration = Duration::from_millis(25_600);
/// How often a runtime that is away is tried: for about ten minutes.
const AWAY_MAX: u32 = 30;

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
        // Those before a take-over count: otherwise it would have no end where owners change often.
        let journal = self.running(LANE).map(|running| &running.record.resume);
        let before = journal.map_or((0, 0), |j| (j.validation_attempts, j.attempts_away));
        let (counted, away) = before;
        self.set_progress(
            LANE,
            Progress::Version(VersionRun {
                attempt: counted.saturating_add(away),
                away,
                phase,
            }),
        );
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
            Some(Phase::Trying { since, until }) if *until <= now => {
                let Some(room) = fleet.trial.as_ref().and_then(|trial| trial.room.clone()) else {
                    return;
                };
                let waited = now.since(*since).as_secs();
                let fault = self.too_late(&room, fleet.rooms.get(room.as_str()), waited);
                self.end_attempt(fleet, turn, &room, Some(fault));
            }
            _ => {}
        }
    }

    fn too_late(&self, id: &RoomId, room: Option<&Room>, waited: u64) -> Fault {
        let instance = room.and_then(|room| room.record.instance.as_ref());
        let words = instance.map(|i| &*i.description).unwrap_or_default();
        let trouble = instance.and_then(|instance| instance.trouble);
        let why = match trouble {
            Some(trouble) => format!(": {}", trouble.words(words)),
            None if words.is_empty() => String::new(),
            None => format!(": {words}"),
        };
        let kind = match trouble {
            Some(Trouble::Unschedulable) => FaultKind::Lasting,
            _ => FaultKind::Passing,
        };
        Fault {
            cause: format!("room {id} was not ready after {waited} s{why}"),
            kind,
        }
    }

    /// Until when a validation room may become ready. It cannot begin before a node has a place for it, which takes
    /// minutes in a cluster that grows.
    fn time_of_trial(&self, since: Mono, room: &Room) -> Mono {
        let (usual, placing) = (
            self.settings.validation_timeout,
            self.settings.schedule_timeout,
        );
        match (room.trouble(), room.marks.placed) {
            (Some(Trouble::Unschedulable), _) => since.plus(placing.max(usual)),
            (_, Some(placed)) => placed.plus(usual),
            _ => since.plus(usual),
        }
    }

    fn begin_attempt(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        fleet.end_stray_validation_rooms(turn);
        let since = turn.now.mono;
        let until = since.plus(self.settings.validation_timeout);
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
            run.phase = Phase::Trying { since, until };
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
        if let Some(Phase::Trying { since, .. }) = self.version_run_ref().map(|run| &run.phase)
            && fleet.is_on_trial(id)
        {
            let since = *since;
            let until = self.time_of_trial(since, room);
            if let Some(run) = self.version_run() {
                run.phase = Phase::Trying { since, until };
            }
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
                    Some(format!("room {id} is in error: {description}").into()),
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
        fault: impl Into<Fault>,
    ) {
        match self.version_run_ref().map(|run| &run.phase) {
            Some(Phase::Trying { .. }) if fleet.is_on_trial(id) => {
                self.end_attempt(fleet, turn, id, Some(fault.into()));
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
        error: Option<Fault>,
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
            Some(fault) => self.attempt_failed(fleet, turn, candidate.version(), attempt, fault),
        }
    }

    fn attempt_failed(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
        attempt: u32,
        Fault { cause, kind }: Fault,
    ) {
        let attempts = self.settings.validation_attempts.max(1);
        let Some(run) = self.version_run() else {
            return;
        };
        run.away += u32::from(kind == FaultKind::Away);
        let (away, counted) = (run.away, attempt - run.away);
        if let Some(running) = self.running_mut(LANE) {
            running.record.resume.validation_attempts = counted;
            running.record.resume.attempts_away = away;
        }
        let text = format!("validation attempt {attempt} failed: {cause}");
        self.note(turn, LANE, &text);
        let text = if kind == FaultKind::Lasting {
            format!("no validation room of {version} can run: {cause}")
        } else if counted >= attempts {
            format!("no validation room of {version} was ready in {counted} attempts")
        } else if away >= AWAY_MAX {
            format!("no validation room of {version} could be made: {cause}")
        } else {
            return;
        };
        self.fail(fleet, turn, LANE, text);
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
