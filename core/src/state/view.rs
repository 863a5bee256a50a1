//! The state as people see it: the core's part of `/debug/actors`.

use super::operations::Progress;
use crate::domain::*;
use crate::state::SchedulerState;
use crate::state::views::{OperationView, StateView, TimersView};

impl SchedulerState {
    /// When each timer fires, for `/debug/actors`.
    pub fn timers(&self, now: Mono) -> TimersView {
        let until = |at: Option<Mono>| at.map(|at| at.since(now).as_millis() as u64);
        let moving = |at: Option<Mono>| until(at.filter(|_| !self.fleet.is_paused()));
        let (timers, lanes) = (&self.fleet.timers, &self.operations.timers);
        TimersView {
            health: moving(lanes.health),
            cleanup: moving(lanes.cleanup),
            touches: until(timers.touches),
            leases: until(lanes.leases),
            consider: moving(timers.consider),
            proof: moving(timers.proof),
            rooms: moving(self.fleet.rooms.next_deadline()),
            operations: until(self.operations.operations_wake()),
        }
    }

    /// A snapshot of the state, for `/debug/actors`.
    pub fn view(&self) -> StateView {
        let counts = self.fleet.rooms.counts();
        let active = self.fleet.scheduler.as_ref();
        let lanes = [Lane::Version, Lane::Room];
        let in_lanes = lanes
            .into_iter()
            .filter_map(|lane| self.operations.running(lane));
        let running = in_lanes
            .chain(&self.operations.observing)
            .map(|running| OperationView {
                id: running.record.id,
                kind: running.record.definition.name().to_owned(),
                lane: running.record.definition.lane(),
                step: running.record.resume.step.clone(),
                attempt: running.record.resume.attempt,
                started_at: running.record.status_at,
                lease_until: running.record.lease_until,
                rolling_back: matches!(running.progress, Progress::RollBack(_)),
                in_flight: self.fleet.work.in_flight(running.record.id),
            });
        StateView {
            state: active.map_or_else(|| "absent".into(), |s| s.state.to_string()),
            version: active.map(|s| s.version().to_string()).unwrap_or_default(),
            paused: self.fleet.is_paused(),
            listed: self.fleet.listing.complete,
            rooms: RoomStatus::ALL
                .into_iter()
                .map(|s| (s.as_str(), counts.of(s)))
                .collect(),
            running: running.collect(),
            queued: self.operations.queue(Lane::Version).len()
                + self.operations.queue(Lane::Room).len(),
            work_in_flight: self.fleet.work.len(),
            stale_results: self.fleet.work.stale,
            crash_failures: self.fleet.crash_loop.failures,
            crash_cause: (self.fleet.crash_loop.failures > 0)
                .then(|| self.fleet.crash_loop.cause.clone()),
        }
    }
}
