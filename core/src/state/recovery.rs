//! Becoming the owner: builds a running state from the stored rows (architecture 5, 6).

use crate::domain::*;
use crate::ports::Loaded;
use crate::settings::CoreSettings;
use crate::state::SchedulerState;
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;
use crate::state::turn::Turn;
use std::sync::Arc;

impl SchedulerState {
    /// The state of a new owner. The rooms' times are measured from now: a silence counts from the take-over, never
    /// from an older stored time.
    pub fn load(
        name: SchedulerName,
        loaded: Loaded,
        settings: Arc<CoreSettings>,
        now: Now,
        entropy: u128,
    ) -> Self {
        let mut turn = Turn::new(now, entropy);
        let (scheduler, versions) = (loaded.scheduler, loaded.versions);
        let mut fleet = Fleet::new(name, settings, scheduler, versions, loaded.operator);
        let live = loaded.live.into_iter();
        fleet.live = live.map(|live| (live.version.clone(), live)).collect();
        fleet.runtime = loaded.runtime;
        if fleet.is_managed() {
            fleet.follow_active();
        }
        fleet.restore_crash_loop();
        for record in loaded.rooms {
            fleet.restore_room(now, record);
        }
        if loaded.behind {
            fleet.doubt_rooms(now);
        }
        let operations = Operations::new(fleet.name.clone(), fleet.settings.clone());
        let mut state = Self { fleet, operations };
        // Operations that had begun continue before those that were waiting.
        let (begun, waiting): (Vec<_>, Vec<_>) = loaded
            .operations
            .into_iter()
            .partition(|record| record.status == OperationStatus::InProgress);
        for record in begun.into_iter().chain(waiting) {
            state.operations.restore(record);
        }
        state.operations.restore_ended(loaded.ended);
        if let Some(active) = state.fleet.scheduler.clone() {
            let version = active.version().clone();
            state.fleet.versions.entry(version).or_insert(active);
            state.operations.arm_periodic(&mut turn);
        }
        state.fleet.active_changed(&mut turn);
        state.fleet.on_error_told = state.fleet.is_in(SchedulerPhase::OnError);
        state.fleet.arm_proof(now);
        state.operations.orphans_due = state.operations.orphans_wake(&state.fleet, now);
        state
    }
}
