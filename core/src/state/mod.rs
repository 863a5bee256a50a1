//! The state machine of one scheduler: `decide(input, now) -> decision`.
//!
//! Everything that is true about a fleet while it is owned stands here, and every rule of
//! the mission is applied here. Nothing in it waits, asks the time or talks to anybody: the
//! shell around it (an actor) makes the changes durable and carries the effects out.

mod commands;
mod consider;
mod fleet;
mod input;
mod operations;
mod pings;
mod reconcile;
mod recovery;
mod report;
mod rollout;
mod runtime_events;
mod turn;
mod view;
mod views;

pub use commands::refuse_unknown;
pub use fleet::{Room, RoomTable};
pub use input::*;
pub use report::{Figures, Named, Outcome, Report, RoomEnd, RoomEnds};
pub use views::*;

use crate::domain::*;
use crate::ports::RoomCounts;
use crate::settings::CoreSettings;
use fleet::Fleet;
use operations::Operations;
use std::{sync::Arc, time::Duration};
use turn::Turn;

pub struct SchedulerState {
    fleet: Fleet,
    operations: Operations,
    lane_timers: LaneTimers,
    /// When the first operation that waits for its scheduler's row is to be ended.
    orphans_due: Option<Mono>,
    stale_results: u64,
}

/// Moments at which operations are due. `None`: not needed.
#[derive(Clone, Copy, Debug, Default)]
struct LaneTimers {
    health: Option<Mono>,
    cleanup: Option<Mono>,
    leases: Option<Mono>,
}

/// Rooms in one write of steady pings (architecture 5).
pub const TOUCH_CHUNK: usize = 256;

impl SchedulerState {
    pub fn name(&self) -> &SchedulerName {
        &self.fleet.name
    }
    pub fn scheduler(&self) -> Option<&Arc<Scheduler>> {
        self.fleet.scheduler.as_ref()
    }
    pub fn settings(&self) -> &CoreSettings {
        &self.fleet.settings
    }
    pub fn rooms(&self) -> &RoomTable {
        &self.fleet.rooms
    }
    pub fn room_counts(&self) -> &RoomCounts {
        self.fleet.rooms.counts()
    }
    pub fn is_paused(&self) -> bool {
        self.fleet.is_paused()
    }
    pub fn figures(&self) -> Figures {
        self.fleet.figures()
    }
    /// Pings that are not written yet, the last of the board's with them: for the last write
    /// before the actor ends.
    pub fn flush(&mut self, last: Vec<SteadyPing>) -> Vec<RoomTouch> {
        self.fleet.flush(last)
    }
    /// Results of work that nobody expected any more.
    pub fn stale_results(&self) -> u64 {
        self.stale_results
    }

    /// Takes one input at `now`. `entropy` are 128 bits nobody has seen before: all the
    /// chance that this decision may use.
    pub fn decide(&mut self, input: Input, now: Now, entropy: u128) -> Decision {
        let mut turn = Turn::new(now, entropy);
        match input {
            // The hot path first: a steady ping changes nothing that the rest looks at.
            Input::Ping { caller, ping } => self.on_ping(&mut turn, caller, ping),
            Input::Pinged(pings) => self.fleet.on_pinged(&mut turn.touches, pings),
            Input::Command {
                caller,
                request,
                command,
            } => self.on_command(&mut turn, caller, request, command),
            Input::Runtime(event) => self.on_runtime(&mut turn, event),
            Input::WorkDone { id, result } => self.on_work_done(&mut turn, id, result),
            Input::Wake => self.on_wake(&mut turn),
            Input::Continue => self.reconcile(&mut turn),
            Input::AllocationUntaken { room } => self.fleet.release_allocation(&mut turn, &room),
            Input::Pushed(record) => self.on_pushed(&mut turn, *record),
            Input::CancelRequested(id) => drop(self.cancel(&mut turn, id)),
        }
        self.settle(&mut turn);
        self.take_decision(turn)
    }

    /// When the shell has to send [`Input::Wake`] at the latest.
    pub fn next_wake(&self) -> Option<Mono> {
        let (t, l) = (&self.fleet.timers, &self.lane_timers);
        let always = [t.touches, l.leases, self.operations_wake()];
        let unpaused = || {
            let room = self.fleet.rooms.next_deadline();
            [
                l.health,
                l.cleanup,
                t.consider,
                t.proof,
                room,
                self.orphans_due,
            ]
        };
        let moving = (!self.fleet.is_paused()).then(unpaused);
        let all = always.into_iter().chain(moving.into_iter().flatten());
        all.flatten().min()
    }

    /// Moves the queues and looks at the fleet again until nothing is left to decide now.
    fn settle(&mut self, turn: &mut Turn) {
        // Whatever took a room away, a deletion may have waited for it.
        self.continue_delete(turn);
        // Each round starts or ends at least one operation; the queue's bound bounds the rounds.
        for _ in 0..=self.fleet.settings.queue_limit {
            let reconsider = std::mem::take(&mut turn.reconsider);
            if reconsider && self.fleet.settings.event_driven {
                self.consider(turn);
            }
            if !self.advance(turn) && !turn.reconsider {
                break;
            }
        }
        self.fleet.tell_recovery(turn);
        self.orphans_due = self.orphans_wake(turn.now);
    }

    fn take_decision(&mut self, mut turn: Turn) -> Decision {
        let fleet = &mut self.fleet;
        fleet.flush_due_touches(&mut turn);
        let record = |id: &RoomId| fleet.rooms.get(id.as_str()).map(|room| room.record.clone());
        Decision {
            changes: turn.changes.into_batch(fleet.scheduler.as_ref(), record),
            effects: turn.effects,
            reports: turn.reports,
            touches: turn.touches,
            board: fleet.rooms.take_board_changes(),
            more: fleet.listing.can_go_on(fleet.work.len()),
        }
    }

    fn on_wake(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        if self.lane_timers.leases.is_some_and(|at| at <= now) {
            self.renew_operation_leases(turn);
        }
        self.operations_due(turn);
        if self.fleet.is_paused() {
            return;
        }
        if self.lane_timers.health.is_some_and(|at| at <= now) {
            self.lane_timers.health = Some(now.plus(self.fleet.settings.health_interval));
            self.enqueue_periodic(turn, Definition::HealthController { took_action: None });
        }
        if self.lane_timers.cleanup.is_some_and(|at| at <= now) {
            self.lane_timers.cleanup = Some(now.plus(self.cleanup_wait(turn)));
            self.enqueue_periodic(turn, Definition::StorageCleanUp);
        }
        if self.fleet.timers.proof.is_some_and(|at| at <= now) {
            self.fleet.look_for_success(turn);
        }
        let waited = self.fleet.timers.consider.is_some_and(|at| at <= now);
        if waited {
            self.fleet.timers.consider = None;
        }
        let expired = self.fleet.collect_expired(turn.now);
        // A deletion keeps the ticks out, so it cannot wait for one.
        if waited || (expired && (self.fleet.settings.event_driven || self.is_deleting())) {
            self.consider(turn);
        }
    }

    /// Exponential around the setting, clamped to [0.1, 2.5] of it (contract 5.3).
    fn cleanup_wait(&mut self, turn: &mut Turn) -> Duration {
        let unit = (turn.fresh_bits() >> 75) as f64 / (1u64 << 53) as f64;
        let factor = (-(1.0 - unit).ln()).clamp(0.1, 2.5);
        self.fleet.settings.cleanup_interval.mul_f64(factor)
    }
}
