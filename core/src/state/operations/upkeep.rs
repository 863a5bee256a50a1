//! The periodic operations: `health_controller` and `storage_clean_up` (contract 5.5).

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::queue::{Enqueue, Operations};
use crate::state::turn::Turn;
use std::time::Duration;

const LANE: Lane = Lane::Room;

impl Operations {
    /// At most one of a kind waits: further ticks behind a long operation add nothing (contract 11.11).
    pub fn enqueue_periodic(&mut self, fleet: &Fleet, turn: &mut Turn, definition: Definition) {
        let waiting = self.any_open(|r| r.definition.name() == definition.name());
        if !waiting && fleet.scheduler.is_some() {
            self.enqueue(turn, definition, Enqueue::default());
        }
    }

    /// The same evaluation that follows every event, but as a recorded operation (architecture 3).
    pub fn run_health(&mut self, fleet: &mut Fleet, turn: &mut Turn, resumed: bool) {
        let enqueued = if resumed {
            Vec::new()
        } else {
            self.consider(fleet, turn)
        };
        for text in &enqueued {
            self.note(turn, LANE, text);
        }
        fleet.ended.health_run();
        if let Some(running) = self.running_mut(LANE) {
            let took_action = Some(!enqueued.is_empty());
            running.record.definition = Definition::HealthController { took_action };
        }
        self.note(turn, LANE, "Operation finished");
        self.end(fleet, turn, LANE, OperationStatus::Finished);
    }

    /// Deletes ended operations whose retention has passed.
    pub fn run_clean_up(&mut self, fleet: &mut Fleet, turn: &mut Turn) {
        let ttl = self.settings.periodic_operation_ttl;
        let now = turn.now;
        let before = self.ended.len();
        if !ttl.is_zero() {
            let changes = &mut turn.changes;
            let recent = &mut self.recent;
            self.ended.retain(|e| {
                let over = e.periodic && now.mono.since(now.mono_of(e.ended_at)) > ttl;
                if over {
                    changes.forget_operation(e.id);
                    recent.retain(|r| r.id != e.id);
                }
                !over
            });
        }
        let gone = before - self.ended.len();
        fleet.graveyard.clear_old(now);
        self.finish(
            fleet,
            turn,
            LANE,
            &format!("removed {gone} expired operations"),
        );
    }

    pub fn arm_periodic(&mut self, turn: &mut Turn) {
        let wait = self.cleanup_wait(turn);
        // The first tick comes after one full period, not at the start (contract 5.3).
        self.timers.health = Some(turn.now.mono.plus(self.settings.health_interval));
        self.timers.cleanup = Some(turn.now.mono.plus(wait));
    }

    /// Exponentially distributed around the setting, clamped to 0.1 to 2.5 times of it (contract 5.3).
    pub fn cleanup_wait(&self, turn: &mut Turn) -> Duration {
        let factor = (-(1.0 - turn.fraction()).ln()).clamp(0.1, 2.5);
        self.settings.cleanup_interval.mul_f64(factor)
    }
}
