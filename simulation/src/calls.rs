//! Calls on the runtime: issued, begun, finished, abandoned, and done too late.

use crate::world::World;
use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::*;

/// The outcome of a call on the runtime.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Works,
    Invalid,
    Exhausted,
    Unavailable,
    /// It is carried out, and reported as failed.
    DoneUnavailable,
    /// Its deadline passes, and it is not carried out.
    Unknown,
    /// Its deadline passes, and it is carried out.
    DoneUnknown,
    /// Its deadline passes, and it is carried out later.
    LateUnknown,
}

impl World {
    pub(crate) fn given(&mut self, id: WorkId, work: Work) {
        match &work {
            Work::CreateRoom(order) => {
                let is_ordered = |row: &RoomRecord| {
                    row.intent.host_ports == order.host_ports
                        && row.intent.version == *order.scheduler.version()
                        && row.intent.validation == order.validation
                };
                assert!(
                    self.was_durable(&order.room, is_ordered),
                    "{} is made before its row is durable",
                    order.room
                );
            }
            Work::TerminateRoom { room, .. } => {
                let known = self.stored.rooms.contains_key(room);
                assert!(
                    !known || self.was_durable(room, |row| row.intent.removal.is_some()),
                    "{room} is told to end before that is durable"
                );
            }
            _ => {}
        }
        self.works.push_back((id, work));
    }

    /// Whether the room's row satisfies `is` in the store, or did in the commit whose effects are
    /// being carried out.
    fn was_durable(&self, room: &RoomId, is: impl Fn(&RoomRecord) -> bool) -> bool {
        let just = self.committed.iter().filter_map(|change| match change {
            Change::PutRoom(row) if row.id == *room => Some(&**row),
            _ => None,
        });
        self.stored.rooms.get(room).into_iter().chain(just).any(is)
    }

    /// An issued call begins and ends at once, with this outcome.
    #[must_use = "a story asserts that it happens"]
    pub fn work(&mut self, index: usize, outcome: Outcome) -> bool {
        if self.works.is_empty() {
            return false;
        }
        let at = index % self.works.len();
        let Some((id, work)) = self.works.remove(at) else {
            return false;
        };
        let failed = |why| failed(&work, why);
        let unavailable = || failed(RuntimeError::Unavailable("away".into()));
        let unknown = || WorkResult::Unknown("took too long".into());
        let result = match outcome {
            Outcome::Works => self.machine.call(&work),
            Outcome::Invalid => failed(RuntimeError::Invalid("no".into())),
            Outcome::Exhausted => failed(RuntimeError::Exhausted("full".into())),
            Outcome::Unavailable => unavailable(),
            Outcome::Unknown => unknown(),
            Outcome::DoneUnavailable => {
                self.machine.call(&work);
                unavailable()
            }
            Outcome::DoneUnknown => {
                self.machine.call(&work);
                unknown()
            }
            Outcome::LateUnknown => {
                self.late.push(work.clone());
                unknown()
            }
        };
        self.answer(id, result);
        true
    }

    /// The runtime carries out an issued call, whose answer is delivered by [`World::finish`].
    #[must_use = "a story asserts that it happens"]
    pub fn begin(&mut self, index: usize) -> bool {
        if self.works.is_empty() {
            return false;
        }
        let at = index % self.works.len();
        if let Some((id, work)) = self.works.remove(at) {
            let result = self.machine.call(&work);
            self.begun.push_back((id, work, result));
        }
        true
    }

    /// The answer to a call that has begun arrives.
    #[must_use = "a story asserts that it happens"]
    pub fn finish(&mut self, index: usize) -> bool {
        if self.begun.is_empty() {
            return false;
        }
        let at = index % self.begun.len();
        if let Some((id, _, result)) = self.begun.remove(at) {
            self.answer(id, result);
        }
        true
    }

    fn answer(&mut self, id: WorkId, result: WorkResult) {
        self.answered.push_back((id, result.clone()));
        if self.answered.len() > 4 {
            self.answered.pop_front();
        }
        self.decide(Input::WorkDone { id, result });
    }

    /// The owner abandons calls: those that have not begun never happen, those that have begun are
    /// not undone. It must not expect an answer to either.
    pub(crate) fn abandon(&mut self, ids: &[WorkId]) {
        for id in ids {
            let given = self.works.iter().position(|(given, _)| given == id);
            let given = given.and_then(|at| self.works.remove(at));
            let begun = self.begun.iter().position(|(begun, ..)| begun == id);
            let begun = begun.and_then(|at| self.begun.remove(at));
            let work = given.map(|(_, work)| work);
            let Some(work) = work.or(begun.map(|(_, work, _)| work)) else {
                continue;
            };
            self.abandoned.push(work);
            let stale = self.state.stale_results();
            let result = WorkResult::Unknown("given up".into());
            self.decide(Input::WorkDone { id: *id, result });
            assert_eq!(self.state.stale_results(), stale + 1, "{id:?} is expected");
        }
    }

    /// A late call takes effect.
    #[must_use = "a story asserts that it happens"]
    pub fn late(&mut self, index: usize) -> bool {
        if self.late.is_empty() {
            return false;
        }
        let work = self.late.remove(index % self.late.len());
        self.machine.call(&work);
        true
    }

    /// A late call never takes effect.
    pub fn never(&mut self, index: usize) {
        if !self.late.is_empty() {
            self.late.remove(index % self.late.len());
        }
    }

    /// The number of late calls, which may still take effect.
    pub fn late_calls(&self) -> usize {
        self.late.len()
    }

    /// Index of the late call that creates this room.
    pub fn late_creation_of(&self, room: &RoomId) -> usize {
        let makes = |w: &Work| matches!(w, Work::CreateRoom(order) if order.room == *room);
        self.late.iter().position(makes).expect("it was being made")
    }

    /// Index of the first call of this kind that has not begun.
    pub fn position(&self, kind: &str) -> Option<usize> {
        self.works.iter().position(|(_, w)| w.kind() == kind)
    }

    /// A result is reported once more.
    pub fn repeat_result(&mut self, index: usize) -> bool {
        if self.answered.is_empty() {
            return false;
        }
        let (id, result) = self.answered[index % self.answered.len()].clone();
        let stale = self.state.stale_results();
        self.decide(Input::WorkDone { id, result });
        assert_eq!(self.state.stale_results(), stale + 1);
        true
    }
}

/// A failure as the port of the call reports it.
fn failed(work: &Work, why: RuntimeError) -> WorkResult {
    if !matches!(work, Work::EnsureRuntime { .. } | Work::Show(_)) {
        return WorkResult::Failed(why);
    }
    let fault = match &why {
        RuntimeError::Invalid(_) => PlatformFault::Invalid,
        RuntimeError::Terminating(_) => PlatformFault::Terminating,
        _ => PlatformFault::Unavailable,
    };
    WorkResult::Refused(PlatformError::new(fault, why.to_string()))
}
