//! Results of creations: ports, rows and instances of ordered rooms.

use crate::domain::*;
use crate::ports::RuntimeError;
use crate::state::fleet::Fleet;
use crate::state::fleet::Purpose;
use crate::state::operations::Operations;
use crate::state::operations::{Fault, FaultKind, Progress, Running};
use crate::state::runtime_events;
use crate::state::turn::Turn;
use crate::state::work::{Work, WorkResult};

/// Why a room was not created.
pub(super) struct Failure {
    cause: String,
    /// The runtime is away, which says nothing about the version.
    away: bool,
    /// The order can never succeed.
    refused: bool,
}

impl From<RuntimeError> for Failure {
    fn from(why: RuntimeError) -> Self {
        let away = matches!(
            why,
            RuntimeError::Unavailable(_) | RuntimeError::Terminating(_)
        );
        Self {
            cause: why.to_string(),
            away,
            refused: matches!(why, RuntimeError::Invalid(_)),
        }
    }
}

impl From<String> for Failure {
    fn from(cause: String) -> Self {
        Self {
            cause,
            away: false,
            refused: false,
        }
    }
}

impl Failure {
    /// The runtime did not answer in time, which says nothing about the version.
    fn unanswered(cause: String) -> Self {
        Self {
            away: true,
            ..cause.into()
        }
    }
}

/// What became of the order to create a room.
enum Outcome {
    /// The runtime answered that it is there.
    Made,
    /// The runtime has told that it is there, but did not answer.
    Seen,
    Failed(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let kind = match failure {
            Failure { away: true, .. } => FaultKind::Away,
            Failure { refused: true, .. } => FaultKind::Lasting,
            _ => FaultKind::Passing,
        };
        Self {
            cause: failure.cause,
            kind,
        }
    }
}

/// The ports are known: the room's row is written, and only then is the runtime asked to create it.
pub(super) fn on_ports(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    operation: OperationId,
    room: RoomId,
    result: WorkResult,
) {
    let Some(lane) = operations.lane_of(operation) else {
        fleet.run(turn, Purpose::Sweep, Work::ReleasePorts { room });
        return;
    };
    let wanted = is_wanted(fleet, operations, lane, &room);
    match result {
        WorkResult::Ports(ports) if wanted => {
            let validation = lane == Lane::Version;
            let document = match validation {
                true => fleet.candidate(),
                false => operations.document_to_add(fleet),
            };
            if let Some(document) = document {
                fleet.order_room(turn, document, validation, operation, room, ports);
            }
        }
        WorkResult::Ports(_) => {
            fleet.run(turn, Purpose::Sweep, Work::ReleasePorts { room });
            operations.continue_add(fleet, turn);
        }
        WorkResult::Failed(why) => {
            let outcome = Outcome::Failed(why.into());
            creation_ended(fleet, operations, turn, lane, &room, outcome)
        }
        WorkResult::Unknown(why) => {
            // Ports may have been reserved nevertheless, and nobody else would release them.
            let room_too = room.clone();
            fleet.run(turn, Purpose::Sweep, Work::ReleasePorts { room: room_too });
            let outcome = Outcome::Failed(Failure::unanswered(why));
            creation_ended(fleet, operations, turn, lane, &room, outcome);
        }
        _ => {
            let outcome = Outcome::Failed("the runtime gave no ports".to_owned().into());
            creation_ended(fleet, operations, turn, lane, &room, outcome);
        }
    }
}

/// Whether the operation of this lane still wants the room.
fn is_wanted(fleet: &Fleet, operations: &Operations, lane: Lane, room: &RoomId) -> bool {
    match operations.running(lane).map(|r| &r.progress) {
        Some(Progress::Add(run)) => run.stopped.is_none(),
        // A late answer belongs to the room of an attempt that is over.
        Some(Progress::Version(_)) => fleet.is_on_trial(room),
        _ => false,
    }
}

/// `operation` is `None` for a repeated intent of an earlier owner.
pub(super) fn on_created(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    operation: Option<OperationId>,
    room: RoomId,
    result: WorkResult,
) {
    let lane = operation.and_then(|id| operations.lane_of(id));
    let was_unanswered = fleet
        .rooms
        .get(room.as_str())
        .is_some_and(|known| known.marks.unanswered > 0);
    let known = fleet.rooms.get(room.as_str()).map(|r| &r.record);
    let seen = known.is_some_and(|record| record.instance.is_some());
    let leaving = known.is_some_and(|record| record.intent.end().is_some());
    let version = known.map(|record| record.intent.version.clone());
    if matches!(result, WorkResult::Unknown(_))
        && !seen
        && !leaving
        && lane.is_none_or(|lane| is_wanted(fleet, operations, lane, &room))
        && fleet.order_unanswered(turn, &room, operation)
    {
        return;
    }
    // An earlier order may take effect after this answer.
    let certain = !seen
        && !was_unanswered
        && !matches!(result, WorkResult::Failed(RuntimeError::Unavailable(_)));
    let outcome = match result {
        WorkResult::Created(instance) if fleet.rooms.get(room.as_str()).is_none() => {
            // It ended, or was given up, before its creation was confirmed.
            fleet.graveyard.bury(turn.now, room.clone());
            runtime_events::on_instance(fleet, operations, turn, instance);
            Outcome::Made
        }
        WorkResult::Created(instance) => {
            on_made(fleet, operations, turn, &room, instance);
            Outcome::Made
        }
        WorkResult::Failed(why) if certain => {
            fleet.forget_room(turn, &room);
            fleet.run(
                turn,
                Purpose::Sweep,
                Work::ReleasePorts { room: room.clone() },
            );
            Outcome::Failed(why.into())
        }
        // Only the answer is missing: the runtime has told of the room, in which somebody may play by now.
        WorkResult::Unknown(_) | WorkResult::Failed(RuntimeError::Unavailable(_))
            if seen && !leaving =>
        {
            let now = turn.now.mono;
            fleet
                .rooms
                .update(room.as_str(), |room| room.made_at = Some(now));
            Outcome::Seen
        }
        // It is unknown whether the room exists, so it is ended in any case.
        other => {
            fleet.mark_removal(turn, &room, RemovalReason::CreationFailed, false);
            Outcome::Failed(match other {
                WorkResult::Failed(why) => why.into(),
                WorkResult::Unknown(why) => Failure::unanswered(why),
                other => format!("the runtime answered a creation with {other:?}").into(),
            })
        }
    };
    // Its removal was ordered while it was being created.
    let leaving = fleet
        .rooms
        .get(room.as_str())
        .is_some_and(|r| r.record.intent.end().is_some());
    if leaving {
        fleet.order_termination(turn, &room, None);
    }
    match lane {
        Some(lane) => creation_ended(fleet, operations, turn, lane, &room, outcome),
        None => blame(fleet, turn, &outcome, version),
    }
}

/// The runtime answers with the instance of a room that is known.
fn on_made(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    room: &RoomId,
    instance: Instance,
) {
    let now = turn.now.mono;
    // Like a report of the runtime: an older list may be compared later.
    fleet.listing.overtake(room);
    let is_another = fleet.rooms.update(room.as_str(), |room| {
        room.made_at = Some(now);
        // After a repeated order the runtime may have created a second instance when the first had ended. Only
        // orders create instances, so the one of the last answer is the newer one; but where a row was adopted
        // meanwhile, the end of this one has been told already.
        let is_ordered = room.record.intent.made_by.is_some();
        let known = room
            .record
            .instance
            .take_if(|known| is_ordered && known.differs_from(&instance.uid));
        known.is_some()
    });
    if is_another == Some(true) {
        fleet.protection_lost(room);
    }
    runtime_events::on_instance(fleet, operations, turn, instance);
}

/// Slows down what failed: the version, or everything if it was the runtime.
fn blame(fleet: &mut Fleet, turn: &mut Turn, outcome: &Outcome, version: Option<SchedulerVersion>) {
    match outcome {
        Outcome::Made => fleet.runtime_is_back(turn),
        // It may be away nevertheless, and the room was made before.
        Outcome::Seen => {}
        Outcome::Failed(failure) if failure.away => fleet.runtime_is_away(turn),
        Outcome::Failed(failure) => {
            // Unless the scheduler is managed, rooms are created from the active version only.
            let active = || fleet.scheduler.as_ref().map(|s| s.version().clone());
            if let Some(version) = version.filter(|_| fleet.is_managed()).or_else(active) {
                fleet.version_failed(turn, &version, failure.cause.clone());
            }
        }
    }
}

fn creation_ended(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    lane: Lane,
    room: &RoomId,
    outcome: Outcome,
) {
    if lane == Lane::Version {
        if let Outcome::Failed(failure) = outcome {
            operations.validation_room_ended(fleet, turn, room, failure);
        }
        return;
    }
    let by_user = operations
        .running(lane)
        .is_some_and(|r| r.record.resume.by_user);
    let version = operations
        .document_to_add(fleet)
        .map(|of| of.version().clone());
    blame(fleet, turn, &outcome, version);
    if let Some(Running {
        progress: Progress::Add(run),
        ..
    }) = operations.running_mut(lane)
    {
        match outcome {
            Outcome::Made | Outcome::Seen => run.created += 1,
            Outcome::Failed(failure) => {
                run.failed += 1;
                if by_user {
                    run.stop("a room could not be created");
                } else if failure.away {
                    run.stop("the runtime is away");
                }
                run.cause.get_or_insert(failure.cause);
            }
        }
        operations.continue_add(fleet, turn);
    }
}
