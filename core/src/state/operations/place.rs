//! The place of a scheduler's rooms (a namespace, a folder): made by a creation, removed by a deletion and by the
//! rollback of the creation that made it (D17). A namespace takes minutes to go, so both are repeated until they have
//! an answer.

use crate::domain::*;
use crate::ports::RuntimeError;
use crate::rules::back_off::doubled;
use crate::state::fleet::{Fleet, Purpose};
use crate::state::operations::progress::{Progress, Tries};
use crate::state::operations::queue::Operations;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};
use std::time::Duration;

const LANE: Lane = Lane::Version;
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long preparations may remain without an answer before the operation ends: more than an API server needs to start
/// again.
const UNANSWERED_MAX: Duration = Duration::from_secs(30);
/// A history does not get a line for each try.
const TELL_EVERY: Duration = Duration::from_secs(60);

impl Tries {
    /// Whether a preparation is repeated if it had no answer.
    fn may_repeat(&mut self, now: Mono, result: &WorkResult) -> bool {
        let is_answered = !matches!(
            result,
            WorkResult::Unknown(_) | WorkResult::Failed(RuntimeError::Unavailable(_))
        );
        let since = match is_answered {
            true => None,
            false => Some(self.unanswered_since.unwrap_or(now)),
        };
        self.unanswered_since = since;
        since.is_none_or(|since| now.since(since) < UNANSWERED_MAX)
    }
}

impl Operations {
    pub fn prepare_place(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        if let (Some(running), Some(scheduler)) = (self.running(LANE), &fleet.scheduler) {
            let (operation, scheduler) = (running.record.id, scheduler.clone());
            let work = Work::Prepare {
                scheduler,
                operation,
            };
            fleet.run(turn, Purpose::Prepare(operation), work);
        }
    }

    pub fn on_prepared(&mut self, fleet: &mut Fleet, turn: &mut Turn, result: WorkResult) {
        let Some(running) = self.running_mut(LANE) else {
            return;
        };
        if let WorkResult::Prepared(prepared) = &result {
            running.record.resume.made_place = Some(prepared.created);
        }
        // A rollback has begun, which is to know what there is to undo.
        if !matches!(running.progress, Progress::Create(_)) {
            return turn.changes.put_operation(running.record.clone());
        }
        let may_repeat = running
            .progress
            .place_mut()
            .is_some_and(|tries| tries.may_repeat(turn.now.mono, &result));
        match result {
            WorkResult::Prepared(prepared) => {
                fleet.set_phase(turn, SchedulerPhase::InSync);
                fleet.showing.hurry();
                let text = match prepared.created {
                    true => "the place for its rooms is there",
                    false => "the place for its rooms was there before, and is adopted",
                };
                self.finish(fleet, turn, LANE, text);
                turn.reconsider = true;
            }
            WorkResult::Failed(RuntimeError::Terminating(why)) => {
                self.repeat_later(turn, why.text());
            }
            WorkResult::Failed(RuntimeError::Unavailable(why)) if may_repeat => {
                self.repeat_later(turn, why.text());
            }
            WorkResult::Unknown(why) if may_repeat => self.repeat_later(turn, &why),
            WorkResult::Failed(why) => self.fail(fleet, turn, LANE, why.to_string()),
            WorkResult::Unknown(why) => self.fail(fleet, turn, LANE, why),
            other => {
                let text = format!("the runtime answered a preparation with {other:?}");
                self.fail(fleet, turn, LANE, text);
            }
        }
    }

    /// Removes the place: whatever there is for a deletion, what the operation made for a rollback.
    pub fn remove_place(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let Some(running) = self.running(LANE) else {
            return;
        };
        let operation = running.record.id;
        let undoes = matches!(running.progress, Progress::RollBack(_));
        let made_by = undoes.then_some(operation);
        let work = Work::RemovePlace { made_by };
        fleet.run(turn, Purpose::RemovePlace(operation), work);
    }

    /// An adopted place stays, with the rooms in it (D17).
    pub fn roll_back_place(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let journal = self.running(LANE).map(|r| &r.record.resume);
        if journal.is_some_and(|journal| journal.made_place == Some(false)) {
            self.note(turn, LANE, "the place was there before, and stays");
            return self.place_rolled_back(fleet, turn, None);
        }
        self.remove_place(fleet, turn);
    }

    pub fn on_place_removed(&mut self, fleet: &mut Fleet, turn: &mut Turn, result: WorkResult) {
        let failure = match result {
            WorkResult::Done | WorkResult::Failed(RuntimeError::NotFound) => None,
            // What was ordered is known neither to be done nor to be impossible.
            WorkResult::Failed(RuntimeError::Terminating(why) | RuntimeError::Unavailable(why)) => {
                return self.repeat_later(turn, why.text());
            }
            WorkResult::Unknown(why) => return self.repeat_later(turn, &why),
            WorkResult::Failed(why) => Some(why.to_string()),
            other => Some(format!("the runtime answered a removal with {other:?}")),
        };
        let Some(running) = self.running(LANE) else {
            return;
        };
        let operation = running.record.id;
        match (&running.progress, failure) {
            (Progress::Delete(_), None) => {
                self.finish(fleet, turn, LANE, "the scheduler and its rooms are gone");
                self.drop_scheduler(fleet, turn, operation);
            }
            (Progress::Delete(_), Some(cause)) => self.fail(fleet, turn, LANE, cause),
            (Progress::RollBack(_), failure) => self.place_rolled_back(fleet, turn, failure),
            _ => {}
        }
    }

    /// Bounded in its rate, not in its number: it ends when the place is gone, and whoever looks at the operation sees
    /// what it waits for.
    pub fn repeat_later(&mut self, turn: &mut Turn, why: &str) {
        let half = 0.5 + turn.fraction() / 2.0;
        let now = turn.now.mono;
        let Some(running) = self.running_mut(LANE) else {
            return;
        };
        let Some(tries) = running.progress.place_mut() else {
            return;
        };
        let wait = doubled(WAIT_FIRST, tries.failed, WAIT_MAX).mul_f64(half);
        tries.failed = tries.failed.saturating_add(1);
        tries.again = Some(now.plus(wait));
        let is_news = match &tries.told {
            None => true,
            Some((told, at)) => told != why && now.since(*at) >= TELL_EVERY,
        };
        running.record.resume.step = format!("waiting: {why}");
        if is_news {
            tries.told = Some((why.to_owned(), now));
            self.note(turn, LANE, &format!("waiting: {why}"));
        }
    }

    pub fn place_due(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let now = turn.now.mono;
        let Some(running) = self.running_mut(LANE) else {
            return;
        };
        let makes_place = matches!(running.progress, Progress::Create(_));
        let makes_runtime = matches!(running.progress, Progress::Runtime(_));
        let Some(tries) = running.progress.place_mut() else {
            return;
        };
        if tries.again.take_if(|at| *at <= now).is_none() {
            return;
        }
        match (makes_place, makes_runtime) {
            (true, _) => self.prepare_place(fleet, turn),
            (_, true) => self.ensure_runtime(fleet, turn),
            _ => self.remove_place(fleet, turn),
        }
    }
}
