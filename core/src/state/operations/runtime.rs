//! `create_runtime`: makes the place of a runtime with the rights in it, also before there is a scheduler, which then
//! adopts it (architecture 7, Objects of a runtime). It can be repeated, and undoes nothing: what an attempt made is
//! completed by the next one.

use crate::domain::*;
use crate::ports::Change;
use crate::state::command::{CommandResult, Refusal, RefusalKind, Reply};
use crate::state::decision::Effect;
use crate::state::fleet::{Fleet, Purpose};
use crate::state::operations::progress::{Progress, Tries};
use crate::state::operations::queue::Operations;
use crate::state::refusals::without_runtime;
use crate::state::turn::Turn;
use crate::state::views::RuntimeView;
use crate::state::work::{Work, WorkResult};

const LANE: Lane = Lane::Version;

fn creates(record: &OperationRecord) -> bool {
    matches!(record.definition, Definition::CreateRuntime { .. })
}

impl Operations {
    /// A repeated order refers to the one that is under way.
    pub fn order_runtime(&mut self, fleet: &Fleet, turn: &mut Turn) -> CommandResult {
        self.not_terminating(fleet)?;
        if fleet.scheduler.is_none() && self.is_deleting() {
            return Err(being_removed(&self.name));
        }
        let open = self.open().find(|record| creates(record)).map(|r| r.id);
        match open {
            Some(id) => Ok(Reply::Operation(id)),
            None => self.order(turn, Definition::CreateRuntime { fault: None }),
        }
    }

    pub fn runtime_view(&self, fleet: &Fleet) -> CommandResult {
        let view = RuntimeView {
            creating: self.open().find(|r| creates(r)).map(|r| r.id),
            record: fleet.runtime.clone(),
        };
        match view.creating.is_none() && view.record.is_none() {
            true => Err(without_runtime(&self.name)),
            false => Ok(Reply::Runtime(view)),
        }
    }

    pub fn begin_runtime(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        self.set_progress(LANE, Progress::Runtime(Tries::default()));
        self.set_step(LANE, "making the place and the rights in it");
        self.ensure_runtime(fleet, turn);
    }

    pub fn ensure_runtime(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        if let Some(running) = self.running(LANE) {
            let operation = running.record.id;
            let work = Work::EnsureRuntime { operation };
            fleet.run(turn, Purpose::EnsureRuntime(operation), work);
        }
    }

    pub fn on_runtime_ensured(&mut self, fleet: &mut Fleet, turn: &mut Turn, result: WorkResult) {
        let runs = |running: &super::progress::Running| {
            matches!(running.progress, Progress::Runtime(_)) && creates(&running.record)
        };
        if !self.running(LANE).is_some_and(runs) {
            return;
        }
        let (fault, why) = match result {
            WorkResult::Prepared(prepared) => {
                let text = match prepared.created {
                    true => "the runtime is made, and the rights in it",
                    false => "the place was there before; what it lacked of a runtime is made",
                };
                fleet.put_runtime(turn, String::new());
                return self.finish(fleet, turn, LANE, text);
            }
            WorkResult::Refused(why) if why.fault == PlatformFault::Terminating => {
                return self.repeat_later(turn, &why.text);
            }
            WorkResult::Refused(why) => (why.fault, why.text),
            WorkResult::Unknown(why) => (PlatformFault::Unavailable, why),
            other => {
                let text =
                    format!("the platform answered the creation of a runtime with {other:?}");
                (PlatformFault::Invalid, text)
            }
        };
        if let Some(running) = self.running_mut(LANE) {
            running.record.definition = Definition::CreateRuntime { fault: Some(fault) };
        }
        self.fail(fleet, turn, LANE, why);
    }

    /// What an attempt left is kept in mind, so that it can be asked for and removed. Of a name that is taken by
    /// somebody else nothing was made.
    pub fn runtime_not_made(&self, fleet: &mut Fleet, turn: &mut Turn, record: &OperationRecord) {
        let made_nothing = matches!(
            record.definition,
            Definition::CreateRuntime {
                fault: Some(PlatformFault::Foreign | PlatformFault::Invalid)
            }
        );
        let is_whole = |known: &RuntimeRecord| known.failure.is_empty();
        if !made_nothing && !fleet.runtime.as_ref().is_some_and(is_whole) {
            let why = record.resume.failure.clone();
            fleet.put_runtime(
                turn,
                why.unwrap_or_else(|| "its creation was canceled".into()),
            );
        }
        self.end_if_unused(fleet, turn);
    }

    /// Nothing is left under the name: its owner ends.
    pub fn end_if_unused(&self, fleet: &Fleet, turn: &mut Turn) {
        let is_used = fleet.scheduler.is_some() || fleet.runtime.is_some();
        if !is_used && self.open().next().is_none() {
            turn.effects.push(Effect::Ended);
        }
    }

    /// Whether the place of the rooms is being made or removed.
    pub fn moves_place(&self) -> bool {
        self.any_open(|record| {
            matches!(
                record.definition,
                Definition::CreateScheduler { .. }
                    | Definition::CreateRuntime { .. }
                    | Definition::DeleteScheduler
            )
        })
    }

    /// Whether an operation does without a scheduler: it makes or removes a runtime.
    pub fn needs_no_scheduler(&self, fleet: &Fleet, record: &OperationRecord) -> bool {
        match record.definition {
            Definition::CreateRuntime { .. } => true,
            Definition::DeleteScheduler => fleet.runtime.is_some(),
            _ => false,
        }
    }
}

/// For what needs a runtime or a scheduler of the name that goes.
pub(in crate::state) fn being_removed(name: &SchedulerName) -> Refusal {
    let text =
        format!("the runtime {name} is being removed: wait until it is gone, then try again");
    Refusal::new(RefusalKind::Conflict, text)
}

impl Fleet {
    /// Stores how the last attempt to make the runtime ended; an empty failure stands for success.
    pub fn put_runtime(&mut self, turn: &mut Turn, failure: String) {
        let made_at = turn.now.wall;
        if failure.is_empty() {
            // What failed before there was a place says nothing now.
            self.showing.hurry();
        }
        let record = RuntimeRecord { made_at, failure };
        turn.changes
            .push(Change::PutRuntime(Box::new(record.clone())));
        self.runtime = Some(record);
        self.showing.changed();
    }
}
