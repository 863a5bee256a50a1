//! Handles timers that are due.

use crate::domain::*;
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;
use crate::state::turn::Turn;

pub(super) fn on_wake(fleet: &mut Fleet, operations: &mut Operations, turn: &mut Turn) {
    let now = turn.now.mono;
    if operations.timers.leases.is_some_and(|at| at <= now) {
        operations.renew_operation_leases(turn);
    }
    operations.operations_due(fleet, turn);
    if fleet.is_paused() {
        return;
    }
    if operations.timers.health.is_some_and(|at| at <= now) {
        operations.timers.health = Some(now.plus(fleet.settings.health_interval));
        operations.enqueue_periodic(
            fleet,
            turn,
            Definition::HealthController { took_action: None },
        );
    }
    if operations.timers.cleanup.is_some_and(|at| at <= now) {
        operations.timers.cleanup = Some(now.plus(operations.cleanup_wait(turn)));
        operations.enqueue_periodic(fleet, turn, Definition::StorageCleanUp);
    }
    if fleet.timers.proof.is_some_and(|at| at <= now) {
        fleet.look_for_success(turn);
    }
    let waited = fleet.timers.consider.is_some_and(|at| at <= now);
    if waited {
        fleet.timers.consider = None;
    }
    let expired = fleet.collect_expired(turn.now);
    // A deletion suppresses ticks, so it cannot wait for one.
    if waited || (expired && (fleet.settings.event_driven || operations.is_deleting())) {
        operations.consider(fleet, turn);
    }
}
