//! What people may see of a state: the core's part of `/debug/actors`.

use super::operations::Progress;
use super::*;
use serde::Serialize;

/// A snapshot; cheap to make, and a plain value from then on.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct StateView {
    /// Word of the scheduler's state; `absent` when there is none.
    pub state: String,
    pub version: String,
    pub paused: bool,
    /// The runtime's first complete list has come.
    pub listed: bool,
    pub rooms: BTreeMap<&'static str, u64>,
    pub running: Vec<OperationView>,
    pub queued: usize,
    pub work_in_flight: usize,
    pub stale_results: u64,
    /// Failures in a row of the active version, and the last cause (D23).
    pub crash_failures: u32,
    pub crash_cause: Option<String>,
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct OperationView {
    pub id: OperationId,
    pub kind: String,
    pub lane: Lane,
    pub step: String,
    pub attempt: u32,
    pub started_at: jiff::Timestamp,
    pub lease_until: Option<jiff::Timestamp>,
    pub rolling_back: bool,
    pub in_flight: usize,
}

/// Milliseconds until each timer fires; `None`: it is not set, or stands still while paused.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
pub struct TimersView {
    /// The next health look at the fleet.
    pub health: Option<u64>,
    /// The next clean-up of ended operations.
    pub cleanup: Option<u64>,
    /// The next write of steady pings.
    pub touches: Option<u64>,
    /// The next renewal of the leases of operations that run.
    pub leases: Option<u64>,
    /// The end of a cooldown or a back-off that scaling waits for.
    pub consider: Option<u64>,
    /// While rooms of the active version fail: the next look for a success (D30).
    pub proof: Option<u64>,
    /// The next moment at which a room's health has to be looked at.
    pub rooms: Option<u64>,
    /// The next moment that an operation waits for.
    pub operations: Option<u64>,
}

impl SchedulerState {
    pub fn timers(&self, now: Mono) -> TimersView {
        let until = |at: Option<Mono>| at.map(|at| at.since(now).as_millis() as u64);
        let moving = |at: Option<Mono>| until(at.filter(|_| !self.is_paused()));
        let (timers, lanes) = (&self.fleet_timers, &self.lane_timers);
        TimersView {
            health: moving(lanes.health),
            cleanup: moving(lanes.cleanup),
            touches: until(timers.touches),
            leases: until(lanes.leases),
            consider: moving(timers.consider),
            proof: moving(timers.proof),
            rooms: moving(self.rooms.next_deadline()),
            operations: until(self.operations_wake()),
        }
    }

    pub fn view(&self) -> StateView {
        let counts = self.rooms.counts();
        let active = self.scheduler.as_ref();
        let running = [Lane::Version, Lane::Room].into_iter().filter_map(|lane| {
            let running = self.operations.running(lane)?;
            Some(OperationView {
                id: running.record.id,
                kind: running.record.definition.name().to_owned(),
                lane,
                step: running.record.journal.step.clone(),
                attempt: running.record.journal.attempt,
                started_at: running.record.status_at,
                lease_until: running.record.lease_until,
                rolling_back: matches!(running.progress, Progress::RollBack(_)),
                in_flight: self.work.in_flight(running.record.id),
            })
        });
        StateView {
            state: active.map_or_else(|| "absent".into(), |s| s.state.clone()),
            version: active.map(|s| s.version().to_string()).unwrap_or_default(),
            paused: self.is_paused(),
            listed: self.listed,
            rooms: RoomStatus::ALL
                .into_iter()
                .map(|s| (s.as_str(), counts.of(s)))
                .collect(),
            running: running.collect(),
            queued: self.operations.queue(Lane::Version).len()
                + self.operations.queue(Lane::Room).len(),
            work_in_flight: self.work.len(),
            stale_results: self.stale_results,
            crash_failures: self.crash_loop.failures,
            crash_cause: (self.crash_loop.failures > 0).then(|| self.crash_loop.cause.clone()),
        }
    }
}
