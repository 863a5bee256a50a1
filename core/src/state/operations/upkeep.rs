//! The periodic operations: `health_controller` and `storage_clean_up` (contract 5.5).

use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::operations::Enqueue;
use crate::state::turn::Turn;

const LANE: Lane = Lane::Room;

impl SchedulerState {
    /// One of a kind waits at a time: a tick behind a long operation adds nothing (contract 11.11).
    pub(in crate::state) fn enqueue_periodic(&mut self, turn: &mut Turn, definition: Definition) {
        let waiting = self
            .operations
            .open()
            .any(|r| r.definition.name() == definition.name());
        if !waiting && self.fleet.scheduler.is_some() {
            self.enqueue(turn, definition, Enqueue::default());
        }
    }

    /// The same look at the fleet that every event takes, on record (architecture 3).
    pub(super) fn run_health(&mut self, turn: &mut Turn, resumed: bool) {
        let enqueued = if resumed {
            Vec::new()
        } else {
            self.consider(turn)
        };
        for text in &enqueued {
            self.note(turn, LANE, text);
        }
        self.fleet.ended.health_run();
        if let Some(running) = self.operations.running_mut(LANE) {
            let took_action = Some(!enqueued.is_empty());
            running.record.definition = Definition::HealthController { took_action };
        }
        self.note(turn, LANE, "Operation finished");
        self.end(turn, LANE, OperationStatus::Finished);
    }

    /// Forgets ended operations whose time is over.
    pub(super) fn run_clean_up(&mut self, turn: &mut Turn) {
        let ttl = self.fleet.settings.periodic_operation_ttl;
        let now = turn.now;
        let before = self.operations.ended.len();
        if !ttl.is_zero() {
            let changes = &mut turn.changes;
            let recent = &mut self.operations.recent;
            self.operations.ended.retain(|e| {
                let over = e.periodic && now.mono.since(now.mono_of(e.ended_at)) > ttl;
                if over {
                    changes.forget_operation(e.id);
                    recent.retain(|r| r.id != e.id);
                }
                !over
            });
        }
        let gone = before - self.operations.ended.len();
        self.fleet.graveyard.clear_old(now);
        self.finish(turn, LANE, &format!("removed {gone} expired operations"));
    }
}
