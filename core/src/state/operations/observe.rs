//! Operations that wait for the rooms of their version or for the platform, outside of the lanes: any number of
//! versions starts and stops at the same time, and at most one such operation is open per version.

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::history::append;
use crate::state::operations::progress::Progress;
use crate::state::operations::queue::{Enqueue, Operations};
use crate::state::report::Outcome;
use crate::state::turn::Turn;

/// How an operation ends, and what its history says.
type End = (OperationStatus, String);

impl Operations {
    /// Ends the operations whose rooms are as wanted, or whose time is over. True if any ended.
    pub fn observe(&mut self, fleet: &mut Fleet, turn: &mut Turn) -> bool {
        if self.observing.is_empty() || !fleet.listing.complete {
            return false;
        }
        let ids: Vec<OperationId> = self.observing.iter().map(|r| r.record.id).collect();
        let mut any = false;
        for id in ids {
            if let Some(end) = self.end_of(fleet, turn, id) {
                self.end_observed(fleet, turn, id, end);
                any = true;
            }
        }
        any
    }

    fn end_of(&self, fleet: &mut Fleet, turn: &mut Turn, id: OperationId) -> Option<End> {
        let running = self.observing.iter().find(|r| r.record.id == id)?;
        let record = &running.record;
        if record.resume.cancel_requested && !fleet.is_paused() {
            let text = give_up(fleet, turn, &record.definition);
            return Some((OperationStatus::Canceled, text));
        }
        let until = match &running.progress {
            Progress::Observe { until, .. } => *until,
            _ => None,
        };
        let is_over = until.is_some_and(|until| until <= turn.now.mono) && !fleet.is_paused();
        match &record.definition {
            Definition::StartVersion { version } => {
                self.end_of_start(fleet, turn, version, is_over)
            }
            Definition::StopVersion { version, .. } => end_of_stop(fleet, turn, version, is_over),
            Definition::UpdateVersionConfig { version, .. } => {
                self.end_of_restart(fleet, turn.now.mono, version, is_over)
            }
            Definition::PublishVersion { version } => {
                let text = format!("{version} is published");
                end_of_showing(fleet, version, VersionPhase::Published, text, is_over)
            }
            Definition::UnpublishVersion { version } => {
                let text = format!("{version} is not published any more");
                end_of_showing(fleet, version, VersionPhase::Started, text, is_over)
            }
            _ => None,
        }
    }

    fn end_of_start(
        &self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        version: &SchedulerVersion,
        is_over: bool,
    ) -> Option<End> {
        let live = fleet.live.get(version)?;
        let (phase, wanted) = (live.phase, u64::try_from(live.rooms).unwrap_or(0));
        if phase != VersionPhase::Starting {
            return Some((OperationStatus::Error, format!("{version} is {phase}")));
        }
        let counts = fleet
            .rooms
            .by_version()
            .get(version)
            .copied()
            .unwrap_or_default();
        let up = counts.available.saturating_sub(counts.starting);
        if up >= wanted {
            fleet.edit_live(turn, version, |live| live.phase = VersionPhase::Started);
            let text = format!("{version} is started: {up} rooms are up");
            return Some((OperationStatus::Finished, text));
        }
        is_over.then(|| {
            let seconds = self.settings.version_start_timeout.as_secs();
            let cause = last_failure(fleet, turn.now.mono, version);
            let text =
                format!("{up} of {wanted} rooms of {version} were up after {seconds} s{cause}");
            in_error(fleet, turn, version, &text);
            (OperationStatus::Error, text)
        })
    }

    fn end_of_restart(
        &self,
        fleet: &Fleet,
        now: Mono,
        version: &SchedulerVersion,
        is_over: bool,
    ) -> Option<End> {
        let stale = fleet.stale_rooms(version);
        let left = stale.available.saturating_sub(stale.draining);
        let counts = fleet
            .rooms
            .by_version()
            .get(version)
            .copied()
            .unwrap_or_default();
        let live = fleet.live.get(version)?;
        let wanted = match live.phase {
            VersionPhase::Published => fleet.published_rooms(),
            phase if phase.wants_rooms() => live.rooms,
            _ => 0,
        };
        let whole = counts.available >= u64::try_from(wanted).unwrap_or(0) && counts.starting == 0;
        if left == 0 && whole {
            let text = match stale.draining {
                0 => format!("the rooms of {version} have the new configuration"),
                busy => format!(
                    "{busy} rooms of {version} are replaced when their matches end, all others are"
                ),
            };
            return Some((OperationStatus::Finished, text));
        }
        is_over.then(|| {
            let seconds = self.settings.version_restart_timeout.as_secs();
            let text = format!(
                "{left} rooms of {version} were left after {seconds} s, and {} were not up yet; they are still replaced{}",
                counts.starting,
                last_failure(fleet, now, version)
            );
            (OperationStatus::Error, text)
        })
    }

    fn end_observed(
        &mut self,
        fleet: &mut Fleet,
        turn: &mut Turn,
        id: OperationId,
        (status, text): End,
    ) {
        let Some(at) = self.observing.iter().position(|r| r.record.id == id) else {
            return;
        };
        let mut running = self.observing.remove(at);
        let (outcome, line) = match status {
            OperationStatus::Finished => (Outcome::Success, text.clone()),
            OperationStatus::Canceled => (
                Outcome::Canceled,
                format!("{}: {text}", OperationRecord::CANCELED),
            ),
            _ => (
                Outcome::Failure,
                format!("{}: {text}", OperationRecord::FAILED),
            ),
        };
        append(&mut running.record, turn.now.wall, &line);
        append(&mut running.record, turn.now.wall, "Operation finished");
        let cause = if outcome == Outcome::Success {
            ""
        } else {
            &text
        };
        turn.reports
            .push(running.executed(turn.now.mono, outcome, cause));
        self.forget_leases_if_idle();
        self.archive(fleet, turn, running.record, status);
        turn.reconsider = true;
    }

    /// The scheduler is to be deleted: nothing is waited for any more.
    pub fn observe_no_more(&mut self, fleet: &mut Fleet, turn: &mut Turn, why: &str) {
        while let Some(id) = self.observing.first().map(|r| r.record.id) {
            let end = (OperationStatus::Canceled, why.to_owned());
            self.end_observed(fleet, turn, id, end);
        }
    }

    /// The times begin anew: nothing was done about the rooms while the scheduler was paused.
    pub fn observe_again(&mut self, now: Now) {
        for running in &mut self.observing {
            if let Progress::Observe { until, patience } = &mut running.progress {
                *until = patience.map(|patience| now.mono.plus(patience));
            }
        }
    }

    /// A stop does not wait for matches any more, so it has less time.
    pub fn hurry(&mut self, fleet: &Fleet, now: Now, version: &SchedulerVersion) {
        let less = self.stop_patience(fleet, version);
        let stops = self
            .observing
            .iter_mut()
            .filter(|r| r.record.definition.live_version() == Some(version));
        for running in stops {
            let until = less.map(|less| now.mono.plus(less));
            running.progress = Progress::Observe {
                until,
                patience: less,
            };
        }
    }

    /// When the next of these operations has no time left.
    pub fn observe_wake(&self) -> Option<Mono> {
        let until = self
            .observing
            .iter()
            .filter_map(|running| match running.progress {
                Progress::Observe { until, .. } => until,
                _ => None,
            });
        until.min()
    }

    /// A store that lost operations may have lost that of a version which starts or stops.
    pub fn repeat_orders(&mut self, fleet: &Fleet, turn: &mut Turn) {
        let moving = fleet
            .live
            .values()
            .filter(|live| self.about(&live.version).is_none());
        let lost = moving.filter_map(|live| match live.phase {
            VersionPhase::Starting => Some(Definition::StartVersion {
                version: live.version.clone(),
            }),
            VersionPhase::Stopping => Some(Definition::StopVersion {
                version: live.version.clone(),
                force: live.force,
            }),
            _ => None,
        });
        for definition in lost.collect::<Vec<_>>() {
            self.enqueue(turn, definition, Enqueue::default());
        }
    }
}

fn end_of_stop(
    fleet: &mut Fleet,
    turn: &mut Turn,
    version: &SchedulerVersion,
    is_over: bool,
) -> Option<End> {
    let phase = fleet.phase_of(version);
    if phase != VersionPhase::Stopping {
        return Some((OperationStatus::Error, format!("{version} is {phase}")));
    }
    let rooms = fleet.rooms.live(version).map_or(0, |live| live.rooms);
    if rooms == 0 {
        fleet.edit_live(turn, version, |live| {
            live.phase = VersionPhase::Stopped;
            live.force = false;
        });
        return Some((
            OperationStatus::Finished,
            format!("{version} is stopped: it has no rooms"),
        ));
    }
    is_over.then(|| {
        let text = format!("{rooms} rooms of {version} did not end in time; stop it again");
        in_error(fleet, turn, version, &text);
        (OperationStatus::Error, text)
    })
}

/// Whether the platform leads to the version, or does not any more, as is wanted. What was ordered stays in force
/// whatever the platform says: it is told again until it obeys.
fn end_of_showing(
    fleet: &Fleet,
    version: &SchedulerVersion,
    wanted: VersionPhase,
    text: String,
    is_over: bool,
) -> Option<End> {
    let is_wanted = wanted == VersionPhase::Published;
    if fleet.showing.reaches(version) == Some(is_wanted) {
        return Some((OperationStatus::Finished, text));
    }
    let phase = fleet.phase_of(version);
    let is_published = phase == VersionPhase::Published;
    if is_published != is_wanted {
        let text = format!("{version} is {phase}: a later order came in between");
        return Some((OperationStatus::Error, text));
    }
    let why = match (fleet.showing.refused(), fleet.showing.failure()) {
        (Some(why), _) => why,
        (None, _) if !is_over => return None,
        (None, "") => "the platform did not answer in time",
        (None, why) => why,
    };
    let leads = if is_wanted {
        "does not lead there yet"
    } else {
        "still leads there"
    };
    let text = format!("{text}, but the name of the scheduler {leads}: {why}");
    Some((OperationStatus::Error, text))
}

/// For the end of a text; empty if its rooms do not fail.
fn last_failure(fleet: &Fleet, now: Mono, version: &SchedulerVersion) -> String {
    let cause = fleet.failing(now, version);
    cause.map_or_else(String::new, |cause| format!("; the last failure: {cause}"))
}

fn in_error(fleet: &mut Fleet, turn: &mut Turn, version: &SchedulerVersion, why: &str) {
    fleet.edit_live(turn, version, |live| {
        live.phase = VersionPhase::Error;
        live.failure = why.to_owned();
    });
}

/// What was wanted before is wanted again, as far as it can be.
fn give_up(fleet: &mut Fleet, turn: &mut Turn, definition: &Definition) -> String {
    match definition {
        Definition::StartVersion { version } => {
            fleet.edit_live(turn, version, |live| live.phase = VersionPhase::Stopped);
            format!("{version} stays stopped, and the rooms that it has got end")
        }
        Definition::StopVersion { version, .. } => {
            fleet.edit_live(turn, version, |live| {
                live.phase = VersionPhase::Started;
                live.force = false;
            });
            format!("{version} stays started, and rooms that are gone are replaced")
        }
        Definition::UpdateVersionConfig { version, .. } => {
            fleet.edit_live(turn, version, |live| live.fresh_from = 0);
            format!("{version} keeps the new configuration, and no more rooms are replaced for it")
        }
        Definition::PublishVersion { version } => format!("{version} stays published"),
        Definition::UnpublishVersion { version } => {
            format!("{version} stays as it is, and its rooms are given to nobody")
        }
        _ => "canceled on request".to_owned(),
    }
}
