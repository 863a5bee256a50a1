//! The state machine of one scheduler: `decide(input, now) -> decision`.
//!
//! The state has two parts: the [`fleet`] holds everything about the rooms, and the [`operations`] are the work in
//! progress. The results of a decision are collected in a [`turn`]. Each rule gets only the parts it needs. Nothing
//! here waits, reads a clock or does I/O: the surrounding shell (an actor) makes the changes durable and executes the
//! effects.

mod command;
mod commands;
mod creations;
mod decision;
mod fleet;
mod input;
mod operations;
mod pings;
mod reconcile;
mod recovery;
mod refusals;
mod report;
mod results;
mod rollout;
mod runtime_events;
mod snapshot;
mod terminations;
mod trouble;
mod turn;
mod versions;
mod view;
mod views;
mod wake;
mod work;

pub use command::*;
pub use decision::*;
pub use fleet::{LiveCount, Room, RoomTable};
pub use input::*;
pub use refusals::refuse_unknown;
pub use report::{Figures, Named, Outcome, Report, RoomEnd, RoomEnds, RoomHang};
pub use views::*;
pub use work::*;

use crate::domain::*;
use crate::ports::{RoomCounts, RuntimeEvent};
use crate::settings::CoreSettings;
use fleet::Fleet;
use operations::Operations;
use std::collections::BTreeSet;
use std::sync::Arc;
use turn::Turn;

/// Everything that the owner of one scheduler knows.
pub struct SchedulerState {
    fleet: Fleet,
    operations: Operations,
}

/// Maximum number of rooms in one write of steady pings (architecture 5).
pub const TOUCH_CHUNK: usize = 256;

impl SchedulerState {
    /// The name, also of a scheduler that does not exist yet.
    pub fn name(&self) -> &SchedulerName {
        &self.fleet.name
    }
    /// The active version; `None` before the creation and after the deletion.
    pub fn scheduler(&self) -> Option<&Arc<Scheduler>> {
        self.fleet.scheduler.as_ref()
    }
    /// There is neither a scheduler of the name nor a runtime, and nothing waits for its creation or is to be ended. A
    /// runtime keeps its name owned.
    pub fn is_vacant(&self) -> bool {
        let is_used = self.fleet.scheduler.is_some() || self.fleet.runtime.is_some();
        !is_used && !self.operations.any_open(|_| true)
    }
    /// The settings that all schedulers of a node share.
    pub fn settings(&self) -> &CoreSettings {
        &self.fleet.settings
    }
    /// All rooms, validation rooms among them.
    pub fn rooms(&self) -> &RoomTable {
        &self.fleet.rooms
    }
    /// Rooms by status, validation rooms left out.
    pub fn room_counts(&self) -> &RoomCounts {
        self.fleet.rooms.counts()
    }
    /// Whether its queues are paused, by an operator or by the settings.
    pub fn is_paused(&self) -> bool {
        self.fleet.is_paused()
    }
    /// The numbers for metrics.
    pub fn figures(&self) -> Figures {
        self.fleet.figures()
    }
    /// Steady pings that are not written yet, including the last ones of the ping cache: for the final write of an
    /// ending actor.
    pub fn flush(&mut self, last: Vec<SteadyPing>) -> Vec<RoomTouch> {
        self.fleet.flush(last)
    }
    /// Number of results of work that was not expected any more.
    pub fn stale_results(&self) -> u64 {
        self.fleet.work.stale
    }

    /// Processes one input at `now`. `entropy` are 128 fresh random bits, the only randomness this decision may use.
    pub fn decide(&mut self, input: Input, now: Now, entropy: u128) -> Decision {
        let Self { fleet, operations } = self;
        let mut turn = Turn::new(now, entropy);
        let t = &mut turn;
        match input {
            // The hot path first: a steady ping affects nothing else.
            Input::Ping { caller, ping } => pings::on_ping(fleet, operations, t, caller, ping),
            Input::Pinged(pings) => fleet.on_pinged(&mut t.touches, pings),
            Input::Command {
                caller,
                request,
                command,
            } => commands::on_command(fleet, operations, t, caller, request, command),
            Input::Runtime(event) => on_runtime(fleet, operations, t, event),
            Input::WorkDone { id, result } => {
                results::on_work_done(fleet, operations, t, id, result);
            }
            Input::Wake => wake::on_wake(fleet, operations, t),
            Input::Continue => reconcile::reconcile(fleet, operations, t),
            Input::AllocationUntaken { room } => fleet.release_allocation(t, &room),
            Input::Pushed(record) => operations.on_pushed(t, *record),
            Input::CancelRequested(id) => drop(operations.cancel(fleet, t, id)),
        }
        settle(fleet, operations, t);
        take_decision(fleet, turn)
    }

    /// When the shell must send [`Input::Wake`] at the latest.
    pub fn next_wake(&self) -> Option<Mono> {
        let (t, l) = (&self.fleet.timers, &self.operations.timers);
        let always = earliest(&[
            t.touches,
            self.fleet.showing_wake(),
            l.leases,
            self.operations.operations_wake(),
            self.fleet.protection_wake(),
        ]);
        if self.fleet.is_paused() {
            return always;
        }
        earliest(&[
            always,
            l.health,
            l.cleanup,
            t.consider,
            t.proof,
            self.fleet.rooms.next_deadline(),
            self.operations.orphans_due,
            self.operations.observe_wake(),
        ])
    }

    /// Operations that have not ended, including waiting ones.
    pub fn open_operations(&self) -> BTreeSet<OperationId> {
        self.operations.open().map(|r| r.id).collect()
    }
}

fn earliest(times: &[Option<Mono>]) -> Option<Mono> {
    times.iter().copied().flatten().min()
}

fn on_runtime(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    event: RuntimeEvent,
) {
    match event {
        RuntimeEvent::Listed(instances) => reconcile::on_listed(fleet, operations, turn, instances),
        RuntimeEvent::Changed(instance) => {
            fleet.listing.overtake(&instance.room);
            runtime_events::on_instance(fleet, operations, turn, instance);
        }
        RuntimeEvent::Gone { room, uid, exit } => {
            fleet.listing.overtake(&room);
            runtime_events::on_gone(fleet, operations, turn, &room, &uid, exit);
        }
    }
}

/// Advances the queues and evaluates the fleet until there is nothing left to decide now.
fn settle(fleet: &mut Fleet, operations: &mut Operations, turn: &mut Turn) {
    // If a room is gone, a deletion may have been waiting for it.
    operations.continue_delete(fleet, turn);
    // Each round starts or ends at least one operation, so the queue's limit bounds the rounds.
    for _ in 0..=fleet.settings.queue_limit {
        let reconsider = std::mem::take(&mut turn.reconsider);
        let ended = operations.observe(fleet, turn);
        if reconsider && fleet.settings.event_driven {
            operations.consider(fleet, turn);
        }
        if !operations.advance(fleet, turn) && !ended && !turn.reconsider {
            break;
        }
    }
    fleet.protect(turn);
    fleet.show(turn, || operations.moves_place());
    fleet.tell_recovery(turn);
    operations.orphans_due = operations.orphans_wake(fleet, turn.now);
}

fn take_decision(fleet: &mut Fleet, mut turn: Turn) -> Decision {
    fleet.flush_due_touches(&mut turn);
    let record = |id: &RoomId| fleet.rooms.get(id.as_str()).map(|room| room.record.clone());
    Decision {
        changes: turn.changes.into_batch(fleet.scheduler.as_ref(), record),
        effects: turn.effects,
        reports: turn.reports,
        touches: turn.touches,
        ping_cache: fleet.rooms.take_ping_cache_changes(),
        more: fleet.listing.can_go_on(fleet.work.len()),
    }
}
