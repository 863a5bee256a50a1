//! The state machine of one scheduler: `decide(input, now) -> decision`.
//!
//! Everything that is true about a fleet while it is owned stands here, and every rule of
//! the mission is applied here. Nothing in it waits, asks the time or talks to anybody: the
//! shell around it (an actor) makes the changes durable and carries the effects out.

mod allocation;
mod commands;
mod consider;
mod crash_loop;
mod ends;
mod forwarding;
mod health;
mod input;
mod inventory;
mod operations;
mod pings;
mod reconcile;
mod recovery;
mod report;
mod rollout;
mod room;
mod rooms;
mod runtime_events;
mod turn;
mod view;

pub use commands::refuse_unknown;
pub use input::*;
pub use inventory::{
    EndView, EndedRoom, RoomDetail, RoomPage, RoomQuery, RoomRow, RoomView, RoomsSummary,
};
pub use report::{Figures, Named, Outcome, Report, RoomEnd, RoomEnds};
pub use rollout::RolloutView;
pub use room::Room;
pub use rooms::RoomTable;
pub use view::{OperationView, StateView, TimersView};

use crate::domain::*;
use crate::ports::{Change, OperatorRecord, RoomCounts};
use crate::settings::CoreSettings;
use crash_loop::CrashLoop;
use ends::Replaced;
use forwarding::Audience;
use operations::{Operations, Purpose, WorkTable};
use reconcile::Reconciliation;
use report::Measured;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::{sync::Arc, time::Duration};
use turn::Turn;

pub struct SchedulerState {
    name: SchedulerName,
    settings: Arc<CoreSettings>,
    /// `None`: there is no such scheduler (yet, or any more).
    scheduler: Option<Arc<Scheduler>>,
    versions: BTreeMap<SchedulerVersion, Arc<Scheduler>>,
    /// Versions whose rooms have to be replaced by ones of the active version.
    outdated: BTreeSet<SchedulerVersion>,
    rooms: RoomTable,
    /// Rooms wanted apart from the surge, as the plan before had it.
    level: Option<i64>,
    /// Rooms there should be after the last plan.
    desired: Option<i64>,
    /// Scaling found nothing that it could do: it waits until then.
    hold_scaling_until: Option<Mono>,
    operator: OperatorRecord,
    /// The last rooms that ended, newest last; in memory only.
    ended_rooms: VecDeque<EndedRoom>,
    operations: Operations,
    crash_loop: CrashLoop,
    /// Somebody was told that the scheduler is on-error.
    on_error_told: bool,
    replaced: Replaced,
    /// `None`: nobody is told of what happens in the rooms.
    audience: Option<Audience>,
    /// What each piece of work that was given out is for.
    work: WorkTable,
    /// The runtime's first complete list has come: from now on absence means something.
    listed: bool,
    /// How many lists it has taken.
    lists: u64,
    /// Rooms whose removal was ordered although their creation had no known outcome yet.
    graveyard: HashMap<RoomId, Mono>,
    expired: BTreeSet<RoomId>,
    /// Rooms whose last ping is to be written.
    touched: VecDeque<RoomId>,
    /// The comparison with the runtime's list that is under way.
    reconciliation: Option<Reconciliation>,
    /// One that came to absent rooms while the scheduler was paused.
    parked: Option<Reconciliation>,
    fleet_timers: FleetTimers,
    lane_timers: LaneTimers,
    /// The version that is being validated.
    trial: Option<Trial>,
    /// When the first operation that waits for its scheduler's row is to be ended.
    orphans_due: Option<Mono>,
    stale_results: u64,
    measured: Measured,
}

/// Moments at which the fleet has to be looked at. `None`: not needed.
#[derive(Clone, Copy, Debug, Default)]
struct FleetTimers {
    touches: Option<Mono>,
    /// The end of a cooldown or a back-off that `consider` waits for.
    consider: Option<Mono>,
    /// While there is a back-off: when a room may have been up for long enough (D30).
    proof: Option<Mono>,
}

/// Moments at which operations are due. `None`: not needed.
#[derive(Clone, Copy, Debug, Default)]
struct LaneTimers {
    health: Option<Mono>,
    cleanup: Option<Mono>,
    leases: Option<Mono>,
}

/// A version that is tried in validation rooms before it is stored.
struct Trial {
    candidate: Arc<Scheduler>,
    /// The room that is to become ready; `None` between two attempts.
    room: Option<RoomId>,
}

/// How long an id stays in the graveyard: far longer than any call on a runtime.
const GRAVEYARD_TIME: Duration = Duration::from_secs(600);
const GRAVEYARD_MAX: usize = 4096;
/// Rooms in one write of steady pings (architecture 5).
pub const TOUCH_CHUNK: usize = 256;

impl SchedulerState {
    pub fn name(&self) -> &SchedulerName {
        &self.name
    }
    pub fn scheduler(&self) -> Option<&Arc<Scheduler>> {
        self.scheduler.as_ref()
    }
    pub fn settings(&self) -> &CoreSettings {
        &self.settings
    }
    pub fn rooms(&self) -> &RoomTable {
        &self.rooms
    }
    pub fn room_counts(&self) -> &RoomCounts {
        self.rooms.counts()
    }
    pub fn is_paused(&self) -> bool {
        self.operator.held.unwrap_or(self.settings.paused)
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
            Input::Pinged(pings) => self.on_pinged(&mut turn.touches, pings),
            Input::Command {
                caller,
                request,
                command,
            } => self.on_command(&mut turn, caller, request, command),
            Input::Runtime(event) => self.on_runtime(&mut turn, event),
            Input::WorkDone { id, result } => self.on_work_done(&mut turn, id, result),
            Input::Wake => self.on_wake(&mut turn),
            Input::Continue => self.reconcile(&mut turn),
            Input::AllocationUntaken { room } => self.release_allocation(&mut turn, &room),
            Input::Pushed(record) => self.on_pushed(&mut turn, *record),
            Input::CancelRequested(id) => drop(self.cancel(&mut turn, id)),
        }
        self.settle(&mut turn);
        self.take_decision(turn)
    }

    /// When the shell has to send [`Input::Wake`] at the latest.
    pub fn next_wake(&self) -> Option<Mono> {
        let (t, l) = (&self.fleet_timers, &self.lane_timers);
        let always = [t.touches, l.leases, self.operations_wake()];
        let unpaused = || {
            let room = self.rooms.next_deadline();
            [
                l.health,
                l.cleanup,
                t.consider,
                t.proof,
                room,
                self.orphans_due,
            ]
        };
        let moving = (!self.is_paused()).then(unpaused);
        let all = always.into_iter().chain(moving.into_iter().flatten());
        all.flatten().min()
    }

    /// Moves the queues and looks at the fleet again until nothing is left to decide now.
    fn settle(&mut self, turn: &mut Turn) {
        // Whatever took a room away, a deletion may have waited for it.
        self.continue_delete(turn);
        // Each round starts or ends at least one operation; the queue's bound bounds the rounds.
        for _ in 0..=self.settings.queue_limit {
            let reconsider = std::mem::take(&mut turn.reconsider);
            if reconsider && self.settings.event_driven {
                self.consider(turn);
            }
            if !self.advance(turn) && !turn.reconsider {
                break;
            }
        }
        self.tell_recovery(turn);
        self.orphans_due = self.orphans_wake(turn.now);
    }

    fn take_decision(&mut self, mut turn: Turn) -> Decision {
        self.flush_due_touches(&mut turn);
        Decision {
            changes: turn
                .changes
                .into_batch(self.scheduler.as_ref(), &self.rooms),
            effects: turn.effects,
            reports: turn.reports,
            touches: turn.touches,
            board: self.rooms.take_board_changes(),
            more: self.reconciles_now(),
        }
    }

    fn on_wake(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        if self.lane_timers.leases.is_some_and(|at| at <= now) {
            self.renew_operation_leases(turn);
        }
        self.operations_due(turn);
        if self.is_paused() {
            return;
        }
        if self.lane_timers.health.is_some_and(|at| at <= now) {
            self.lane_timers.health = Some(now.plus(self.settings.health_interval));
            self.enqueue_periodic(turn, Definition::HealthController { took_action: None });
        }
        if self.lane_timers.cleanup.is_some_and(|at| at <= now) {
            self.lane_timers.cleanup = Some(now.plus(self.cleanup_wait(turn)));
            self.enqueue_periodic(turn, Definition::StorageCleanUp);
        }
        if self.fleet_timers.proof.is_some_and(|at| at <= now) {
            self.look_for_success(turn);
        }
        let waited = self.fleet_timers.consider.is_some_and(|at| at <= now);
        if waited {
            self.fleet_timers.consider = None;
        }
        let expired = self.collect_expired(turn.now);
        // A deletion keeps the ticks out, so it cannot wait for one.
        if waited || (expired && (self.settings.event_driven || self.is_deleting())) {
            self.consider(turn);
        }
    }

    /// Exponential around the setting, clamped to [0.1, 2.5] of it (contract 5.3).
    fn cleanup_wait(&mut self, turn: &mut Turn) -> Duration {
        let unit = (turn.fresh_bits() >> 75) as f64 / (1u64 << 53) as f64;
        let factor = (-(1.0 - unit).ln()).clamp(0.1, 2.5);
        self.settings.cleanup_interval.mul_f64(factor)
    }

    /// Gives out a call on the runtime; `purpose` says what its result means.
    fn run(&mut self, turn: &mut Turn, purpose: Purpose, work: Work) -> WorkId {
        let timeout = match &work {
            Work::CreateRoom(_) | Work::ReservePorts { .. } => self.settings.add_timeout,
            _ => self.settings.runtime_timeout,
        };
        let id = self.work.give_out(purpose);
        turn.effects.push(Effect::Run { id, work, timeout });
        id
    }

    /// Changes the active document; it is stored with this decision.
    fn edit_scheduler(&mut self, turn: &mut Turn, edit: impl FnOnce(&mut Scheduler)) {
        if let Some(scheduler) = &mut self.scheduler {
            edit(Arc::make_mut(scheduler));
            turn.changes.put_scheduler();
        }
    }

    fn set_scheduler_state(&mut self, turn: &mut Turn, word: &str) {
        if self.scheduler.as_ref().is_some_and(|s| s.state != word) {
            self.edit_scheduler(turn, |s| s.state = word.into());
        }
    }

    fn bury(&mut self, now: Now, room: RoomId) {
        if self.graveyard.len() >= GRAVEYARD_MAX {
            let oldest = self
                .graveyard
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(id, _)| id.clone());
            oldest.map(|id| self.graveyard.remove(&id));
        }
        self.graveyard.insert(room, now.mono);
    }
}
