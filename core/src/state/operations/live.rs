//! Orders about versions of a managed scheduler (architecture 6, Live versions). They set what is wanted. Rooms are
//! created and ended by operations of the room lane, so that a start of ten minutes blocks no scaling.

use crate::domain::*;
use crate::rules::lifecycle::{Verdict, VersionOrder, judge};
use crate::state::fleet::Fleet;
use crate::state::operations::progress::{Progress, Running};
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use std::time::Duration;

const LANE: Lane = Lane::Version;

impl Operations {
    /// The open operation about this version.
    pub fn about(&self, version: &SchedulerVersion) -> Option<&OperationRecord> {
        self.open()
            .find(|record| record.definition.live_version() == Some(version))
    }

    pub fn begin_start(&mut self, fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion) {
        let Some(document) = fleet.versions.get(version).cloned() else {
            return self.fail_missing(fleet, turn, version);
        };
        // A scheduler that is not managed yet has no phases.
        let phase = match fleet.is_managed() {
            true => fleet.phase_of(version),
            false => VersionPhase::Stopped,
        };
        match (phase, judge(VersionOrder::Start, phase)) {
            // An earlier owner began it.
            (VersionPhase::Starting, _) => {}
            (_, Ok(_)) => fleet.start_live(turn, &document),
            (_, Err(why)) => return self.fail_in(fleet, turn, version, phase, why),
        }
        let rooms = fleet.live.get(version).map_or(0, |live| live.rooms);
        let patience = self.settings.version_start_timeout;
        let text = format!("{version} is to have {rooms} rooms");
        self.observe_from_now(
            turn,
            &text,
            "waiting for its rooms to be ready",
            Some(patience),
        );
    }

    pub fn begin_stop(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
        force: bool,
    ) {
        let phase = fleet.phase_of(version);
        match (phase, judge(VersionOrder::Stop, phase)) {
            (VersionPhase::Stopping, _) => {}
            (_, Ok(Verdict::Already)) => {
                return self.finish(fleet, turn, LANE, &format!("{version} is stopped already"));
            }
            (_, Ok(Verdict::Go)) => fleet.edit_live(turn, version, |live| {
                live.phase = VersionPhase::Stopping;
                live.force = force;
                live.failure.clear();
            }),
            (_, Err(why)) => return self.fail_in(fleet, turn, version, phase, why),
        }
        self.add_no_more(fleet, turn, version);
        if force {
            self.force_stop(fleet, turn, version);
        }
        let rooms = fleet.rooms.live(version).map_or(0, |live| live.rooms);
        let text = format!("{version} is to have no rooms: {rooms} are ending");
        let patience = self.stop_patience(fleet, version);
        self.observe_from_now(turn, &text, "waiting for its rooms to end", patience);
    }

    /// Beyond the longest wait for a match rooms have the time of a restart to end; `None`: matches may last forever.
    pub fn stop_patience(&self, fleet: &Fleet, version: &SchedulerVersion) -> Option<Duration> {
        let force = fleet.live.get(version).is_some_and(|live| live.force);
        let matches = match force {
            true => Duration::ZERO,
            false => self.settings.drain_deadline?,
        };
        Some(matches.saturating_add(self.settings.version_restart_timeout))
    }

    /// Rooms that are drained already are ended too, whatever they wait for.
    pub fn force_stop(&mut self, fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion) {
        fleet.edit_live(turn, version, |live| live.force = true);
        let drained = fleet
            .rooms
            .iter()
            .filter(|room| room.is_draining() && room.record.intent.version == *version);
        let ids: Vec<RoomId> = drained.map(|room| room.record.id.clone()).collect();
        let reason = RemovalReason::VersionStopped;
        for id in &ids {
            fleet.mark_removal(turn, id, reason, false);
        }
        if !ids.is_empty() {
            self.enqueue_removal_by_id(turn, ids, reason);
        }
    }

    /// Rooms that are being added to a version that stops would be ended again.
    fn add_no_more(&mut self, fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion) {
        if let Some(Running {
            progress: Progress::Add(run),
            ..
        }) = self.running_mut(Lane::Room)
            && run.version.as_ref() == Some(version)
        {
            run.stop("its version is to be stopped");
            self.continue_add(fleet, turn);
        }
    }

    pub fn begin_publish(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
    ) {
        if let Some(text) = self.publish(fleet, turn, version) {
            let is_reached = fleet.showing.reaches(version) == Some(true);
            self.end_once_shown(fleet, turn, is_reached, &text);
        }
    }

    /// What was done, if it could be done. Also the switch of Maestro's own API, once the scheduler is managed.
    pub fn publish(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
    ) -> Option<String> {
        let Some(document) = fleet.versions.get(version).cloned() else {
            self.fail_missing(fleet, turn, version);
            return None;
        };
        let phase = fleet.phase_of(version);
        match judge(VersionOrder::Publish, phase) {
            Ok(Verdict::Already) => Some(format!(
                "{version} is published already; nothing was changed"
            )),
            Ok(Verdict::Go) => {
                let before = fleet.published();
                fleet.publish(turn, &document);
                let before =
                    before.map_or_else(String::new, |before| format!(", {before} is not any more"));
                Some(format!("{version} is published{before}"))
            }
            Err(why) => {
                self.fail_in(fleet, turn, version, phase, why);
                None
            }
        }
    }

    /// Callers of allocations are answered by the new state at once. The operation ends when those are too who reach
    /// the rooms by the name of the scheduler, which is the platform's work.
    fn end_once_shown(&mut self, fleet: &mut Fleet, turn: &mut Turn, is_shown: bool, text: &str) {
        if is_shown {
            return self.finish(fleet, turn, LANE, text);
        }
        fleet.showing.hurry();
        let patience = self.settings.version_restart_timeout;
        let step = "waiting until the name of the scheduler leads there";
        self.observe_from_now(turn, text, step, Some(patience));
    }

    pub fn begin_unpublish(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
    ) {
        let phase = fleet.phase_of(version);
        let began = self.running(LANE).map_or(0, |r| r.record.resume.attempt) > 1;
        let is_left = fleet.showing.reaches(version) == Some(false);
        let text = format!("{version} is not published any more: its rooms are given to nobody");
        match judge(VersionOrder::Unpublish, phase) {
            Ok(_) if fleet.unpublish(turn) => self.end_once_shown(fleet, turn, is_left, &text),
            // An earlier owner did it, and may not have seen the end.
            Err(_) if began && phase == VersionPhase::Started => {
                self.end_once_shown(fleet, turn, is_left, &text);
            }
            Ok(_) => self.fail_in(fleet, turn, version, phase, "start a version first"),
            Err(why) => self.fail_in(fleet, turn, version, phase, why),
        }
    }

    /// The pairs were stored with the order.
    pub fn begin_config(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
        restart: ConfigRestart,
    ) {
        let rooms = fleet.stale_rooms(version).available;
        let restarts = restart != ConfigRestart::None && fleet.phase_of(version).wants_rooms();
        if !restarts || rooms == 0 {
            let text = "its rooms get the configuration when they are created";
            return self.finish(fleet, turn, LANE, text);
        }
        let text = format!(
            "{rooms} rooms of {version} are to be replaced ({})",
            restart.as_str()
        );
        let patience = self.settings.version_restart_timeout;
        self.observe_from_now(
            turn,
            &text,
            "waiting for its rooms to be replaced",
            Some(patience),
        );
    }

    /// The operation leaves its lane, and waits there no longer for anything but its version's rooms.
    fn observe_from_now(
        &mut self,
        turn: &mut Turn,
        text: &str,
        step: &str,
        patience: Option<Duration>,
    ) {
        self.set_step(LANE, step);
        self.note(turn, LANE, text);
        if let Some(mut running) = self.running[LANE as usize].take() {
            let until = patience.map(|patience| turn.now.mono.plus(patience));
            running.progress = Progress::Observe { until, patience };
            self.observing.push(running);
        }
    }

    fn fail_missing(&mut self, fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion) {
        let text = format!("scheduler {} version {version} not found", self.name);
        self.fail(fleet, turn, LANE, text);
    }

    /// Its phase has changed since it was ordered.
    fn fail_in(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
        phase: VersionPhase,
        why: &str,
    ) {
        self.fail(fleet, turn, LANE, format!("{version} is {phase}: {why}"));
    }
}
