//! `add_rooms`: a user's order is all or nothing, our own keeps what succeeded (D16).

use crate::domain::*;
use crate::ports::RuntimeError;
use crate::state::SchedulerState;
use crate::state::fleet::Purpose;
use crate::state::input::{Work, WorkResult};
use crate::state::operations::{Progress, Running};
use crate::state::turn::Turn;

const LANE: Lane = Lane::Room;

#[derive(Debug, Default)]
pub(in crate::state) struct AddRun {
    amount: u32,
    /// Index of the next room to make.
    next: u32,
    created: u32,
    failed: u32,
    /// Why the first one failed.
    cause: Option<String>,
    /// No more rooms are made: somebody wants it to end.
    stopped: Option<String>,
}

impl AddRun {
    pub fn stop(&mut self, cause: &str) {
        self.stopped.get_or_insert_with(|| cause.into());
    }
}

impl SchedulerState {
    pub(super) fn begin_add(&mut self, turn: &mut Turn, amount: i32) {
        let amount = amount
            .clamp(0, self.fleet.settings.add_limit)
            .unsigned_abs();
        self.set_progress(
            LANE,
            Progress::Add(AddRun {
                amount,
                ..AddRun::default()
            }),
        );
        self.set_step(LANE, "creating rooms");
        self.continue_add(turn);
    }

    /// Keeps up to `add_batch` creations under way, and ends when none is left.
    pub(super) fn continue_add(&mut self, turn: &mut Turn) {
        let Some(scheduler) = self.fleet.scheduler.clone() else {
            return;
        };
        loop {
            let batch = self.fleet.settings.add_batch.max(1);
            let Some(running) = self.operations.running_mut(LANE) else {
                return;
            };
            let operation = running.record.id;
            let in_flight = self.fleet.work.in_flight(operation);
            let Progress::Add(run) = &mut running.progress else {
                return;
            };
            let done = run.stopped.is_some() || run.next == run.amount;
            if done {
                if in_flight == 0 {
                    self.finish_add(turn);
                }
                return;
            }
            if in_flight >= batch {
                return;
            }
            let index = run.next;
            run.next += 1;
            let Some(room) = self.fleet.free_room_id(operation, index) else {
                // Its row is there: an attempt before this one made it (architecture 6, Every operation ends).
                if let Some(Running {
                    progress: Progress::Add(run),
                    ..
                }) = self.operations.running_mut(LANE)
                {
                    run.created += 1;
                }
                continue;
            };
            let purpose = Purpose::Ports {
                operation,
                room: room.clone(),
            };
            self.fleet.run(
                turn,
                purpose,
                Work::ReservePorts {
                    room,
                    scheduler: scheduler.clone(),
                },
            );
        }
    }

    /// Ports are fixed: the room's row is written, and only then the runtime is asked for it.
    pub(super) fn on_ports(
        &mut self,
        turn: &mut Turn,
        operation: OperationId,
        room: RoomId,
        result: WorkResult,
    ) {
        let Some(lane) = self.operations.lane_of(operation) else {
            self.fleet
                .run(turn, Purpose::Sweep, Work::ReleasePorts { room });
            return;
        };
        let wanted = match self.operations.running(lane).map(|r| &r.progress) {
            Some(Progress::Add(run)) => run.stopped.is_none(),
            // A late answer is about the room of an attempt that is over.
            Some(Progress::Version(_)) => self.fleet.is_on_trial(&room),
            _ => false,
        };
        match result {
            WorkResult::Ports(ports) if wanted => {
                self.fleet.order_room(turn, lane, operation, room, ports)
            }
            WorkResult::Ports(_) => {
                self.fleet
                    .run(turn, Purpose::Sweep, Work::ReleasePorts { room });
                self.continue_add(turn);
            }
            WorkResult::Failed(why) => {
                self.creation_ended(turn, lane, &room, Some(why.to_string()))
            }
            WorkResult::Unknown(why) => {
                // They may have been drawn all the same: nobody else would give them back.
                let room_too = room.clone();
                self.fleet
                    .run(turn, Purpose::Sweep, Work::ReleasePorts { room: room_too });
                self.creation_ended(turn, lane, &room, Some(why));
            }
            _ => self.creation_ended(turn, lane, &room, Some("the runtime gave no ports".into())),
        }
    }
}

impl SchedulerState {
    /// `operation` is `None` for an intent of an earlier owner that was repeated.
    pub(super) fn on_created(
        &mut self,
        turn: &mut Turn,
        operation: Option<OperationId>,
        room: RoomId,
        result: WorkResult,
    ) {
        let lane = operation.and_then(|id| self.operations.lane_of(id));
        let seen = self
            .fleet
            .rooms
            .get(room.as_str())
            .is_some_and(|r| r.record.instance.is_some());
        let certain = !seen && !matches!(result, WorkResult::Failed(RuntimeError::Unavailable(_)));
        let failure = match result {
            WorkResult::Created(instance) if self.fleet.rooms.get(room.as_str()).is_none() => {
                // It has ended, or was given up, before we got to know that it had begun.
                self.fleet.graveyard.bury(turn.now, room.clone());
                self.on_instance(turn, instance);
                None
            }
            WorkResult::Created(instance) => {
                let now = turn.now.mono;
                // As news of the runtime's own: a list from before it may be compared late.
                self.fleet.listing.overtake(&room);
                self.fleet.rooms.update(room.as_str(), |room| {
                    room.made_at = Some(now);
                    // Asked twice, it may have made a second one after the end of the first.
                    let known = room.record.instance.as_ref();
                    if known.is_some_and(|known| {
                        known.uid != instance.uid
                            && known.resource_version < instance.resource_version
                    }) {
                        room.record.instance = None;
                    }
                });
                self.on_instance(turn, instance);
                None
            }
            WorkResult::Failed(why) if certain => {
                self.fleet.forget_room(turn, &room);
                self.fleet.run(
                    turn,
                    Purpose::Sweep,
                    Work::ReleasePorts { room: room.clone() },
                );
                Some(why.to_string())
            }
            // Nobody knows whether it is there: it is ended, whatever it is.
            other => {
                self.fleet
                    .mark_removal(turn, &room, RemovalReason::CreationFailed, false);
                Some(match other {
                    WorkResult::Failed(why) => why.to_string(),
                    WorkResult::Unknown(why) => why,
                    other => format!("the runtime answered a creation with {other:?}"),
                })
            }
        };
        // Somebody ordered its end while it was being made.
        let leaving = self
            .fleet
            .rooms
            .get(room.as_str())
            .is_some_and(|r| r.record.removal.is_some_and(|x| !x.drain));
        if leaving {
            self.fleet.order_termination(turn, &room, None);
        }
        match lane {
            Some(lane) => self.creation_ended(turn, lane, &room, failure),
            None => {
                if let (Some(cause), Some(scheduler)) = (failure, self.fleet.scheduler.clone()) {
                    self.fleet.version_failed(turn, scheduler.version(), cause);
                }
            }
        }
    }

    fn creation_ended(
        &mut self,
        turn: &mut Turn,
        lane: Lane,
        room: &RoomId,
        failure: Option<String>,
    ) {
        if lane == Lane::Version {
            if let Some(cause) = failure {
                self.validation_room_ended(turn, room, cause);
            }
            return;
        }
        let by_user = self
            .operations
            .running(lane)
            .is_some_and(|r| r.record.journal.by_user);
        if let Some(cause) = &failure
            && let Some(scheduler) = self.fleet.scheduler.clone()
        {
            self.fleet
                .version_failed(turn, scheduler.version(), cause.clone());
        }
        if let Some(Running {
            progress: Progress::Add(run),
            ..
        }) = self.operations.running_mut(lane)
        {
            match failure {
                None => run.created += 1,
                Some(cause) => {
                    run.failed += 1;
                    if by_user {
                        run.stop("a room could not be created");
                    }
                    run.cause.get_or_insert(cause);
                }
            }
            self.continue_add(turn);
        }
    }

    fn finish_add(&mut self, turn: &mut Turn) {
        let Some(running) = self.operations.running(LANE) else {
            return;
        };
        let journal = &running.record.journal;
        let (by_user, canceled) = (journal.by_user, journal.cancel_requested);
        let Progress::Add(run) = &running.progress else {
            return;
        };
        let (created, failed) = (run.created, run.failed);
        let cause = run.cause.clone().unwrap_or_default();
        if canceled {
            let why = run.stopped.clone().unwrap_or_default();
            return self.roll_back(
                turn,
                LANE,
                format!("{why}, after {created} of {} rooms", run.amount),
                true,
            );
        }
        if failed > created || (by_user && failed > 0) {
            let total = run.amount;
            return self.fail(
                turn,
                LANE,
                format!("{failed} of {total} rooms could not be created: {cause}"),
            );
        }
        let mut text = format!("added {created} rooms");
        if failed > 0 {
            text.push_str(&format!("; {failed} could not be created: {cause}"));
        }
        self.finish(turn, LANE, &text);
    }
}
