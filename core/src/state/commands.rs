//! Commands of users (contract 2.4), and their immediate answers: mostly an operation's id.

use super::operations::{Enqueue, being_removed};
use crate::domain::*;
use crate::ports::Change;
use crate::rules::{patch::Patch, validation};
use crate::state::command::{Caller, Command, CommandResult, Refusal, RefusalKind, Reply};
use crate::state::fleet::Fleet;
use crate::state::operations::Operations;
use crate::state::refusals::{
    already_exists, check_amount, missing, missing_for_delete, missing_for_version,
};
use crate::state::report::Report;
use crate::state::turn::Turn;
use crate::state::{reconcile, rollout, versions};
use std::sync::Arc;

pub(super) fn on_command(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    caller: Caller,
    request: Option<Arc<str>>,
    command: Command,
) {
    turn.request = request;
    let answer = obey(fleet, operations, turn, command);
    // Further effects of this decision were not ordered by the request.
    turn.request = None;
    turn.reply(caller, answer);
}

pub(super) fn obey(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    command: Command,
) -> CommandResult {
    match command {
        Command::CreateScheduler(scheduler) => create(fleet, operations, turn, *scheduler),
        Command::NewVersion(scheduler) => new_version(fleet, operations, turn, *scheduler),
        Command::Patch(edit) => patch(fleet, operations, turn, &edit),
        Command::SwitchVersion(version) => switch_version(fleet, operations, turn, version),
        Command::DeleteScheduler => delete(fleet, operations, turn),
        Command::AddRooms { amount, version } => {
            add_rooms(fleet, operations, turn, amount, version)
        }
        Command::RemoveRooms {
            amount,
            force,
            version,
        } => remove_rooms(fleet, operations, turn, amount, force, version),
        Command::RemoveRoom { room, force } => remove_room(fleet, operations, turn, &room, force),
        Command::Cancel(id) => operations.cancel(fleet, turn, id),
        Command::TestOperation { sleep_seconds } => {
            test_operation(fleet, operations, turn, sleep_seconds)
        }
        Command::CreateRuntime => operations.order_runtime(fleet, turn),
        Command::Runtime => operations.runtime_view(fleet),
        Command::StartVersion {
            version,
            images,
            config,
        } => versions::start(fleet, operations, turn, version, &images, config),
        Command::StopVersion { version, force } => {
            versions::stop(fleet, operations, turn, version, force)
        }
        Command::PublishVersion(version) => versions::publish(fleet, operations, turn, version),
        Command::UnpublishVersion(version) => versions::unpublish(fleet, operations, turn, version),
        Command::UpdateConfig {
            version,
            config,
            restart,
        } => versions::update_config(fleet, operations, turn, version, config, restart),
        Command::LiveVersions => fleet.live_versions(turn.now.mono),
        Command::Nodes { version, after } => fleet.nodes_page(&version, after.as_ref()),
        Command::RoomsSummary => fleet.rooms_summary(),
        Command::Rooms(query) => Ok(Reply::Rooms(fleet.rooms_page(&query))),
        Command::Room(room) => fleet.room_detail(&room),
        Command::Rollout => rollout::rollout_view(fleet, operations, turn.now),
        Command::PauseRollout => rollout::set_rollout_paused(fleet, operations, turn, true),
        Command::ResumeRollout => rollout::set_rollout_paused(fleet, operations, turn, false),
        Command::AbortRollout => rollout::abort_rollout(fleet, operations, turn),
        Command::Allocate => fleet.allocate(turn),
        Command::Address(room) => fleet.room_address(&room),
        Command::Forward(request) => fleet.plan_event(*request),
        Command::SetPaused(paused) => set_paused(fleet, operations, turn, paused),
    }
}

pub(super) fn create(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    mut scheduler: Scheduler,
) -> CommandResult {
    if fleet.scheduler.is_some() {
        turn.reports.push(Report::DuplicateCreate);
        return Err(already_exists(&fleet.name));
    }
    // A deletion that is under way would take the new scheduler with it.
    if operations.is_deleting() {
        return Err(being_removed(&fleet.name));
    }
    operations.end_orphans(fleet, turn);
    scheduler.name = fleet.name.clone();
    scheduler.state = SchedulerPhase::Creating;
    scheduler.spec.version = SchedulerVersion::initial();
    scheduler.rollback_version = String::new();
    scheduler.created_at = turn.now.wall;
    scheduler.last_downscale_at = None;
    scheduler.match_allocation.get_or_insert_default();
    let scheduler = Arc::new(scheduler);
    turn.changes
        .push(Change::CreateScheduler(scheduler.clone()));
    fleet
        .versions
        .insert(scheduler.version().clone(), scheduler.clone());
    fleet.scheduler = Some(scheduler.clone());
    fleet.active_changed(turn);
    operations.arm_periodic(turn);
    operations.enqueue(
        turn,
        Definition::CreateScheduler {
            scheduler: scheduler.clone(),
        },
        Enqueue {
            by_user: true,
            ..Enqueue::default()
        },
    );
    Ok(Reply::Scheduler(scheduler))
}

pub(super) fn new_version(
    fleet: &Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    mut wanted: Scheduler,
) -> CommandResult {
    operations.no_version_edit("create new scheduler version")?;
    let active = fleet.active(missing_for_version)?;
    operations.not_terminating(fleet)?;
    wanted.name = fleet.name.clone();
    wanted.state = active.state.clone();
    wanted.spec.version = active.version().clone();
    wanted.last_downscale_at = active.last_downscale_at;
    wanted.match_allocation.get_or_insert_default();
    let scheduler = Arc::new(wanted);
    operations.order(turn, Definition::CreateNewSchedulerVersion { scheduler })
}

/// The caller has rejected an empty patch, which precedes all other checks (contract 2.4).
pub(super) fn patch(
    fleet: &Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    patch: &Patch,
) -> CommandResult {
    operations.no_version_edit("patch scheduler")?;
    let active = fleet.active(missing_for_version)?;
    operations.not_terminating(fleet)?;
    let scheduler = patch.apply(&active);
    if let Err(invalid) = validation::validate_new(&scheduler) {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            invalid.to_patch_message(),
        ));
    }
    operations.order(
        turn,
        Definition::CreateNewSchedulerVersion {
            scheduler: Arc::new(scheduler),
        },
    )
}

/// Whether the version exists is not checked here: the operation does (contract 2.4, "MUST").
pub(super) fn switch_version(
    fleet: &Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    version: SchedulerVersion,
) -> CommandResult {
    if fleet.is_managed() {
        return versions::publish(fleet, operations, turn, version);
    }
    operations.no_version_edit("switch active version")?;
    operations.not_terminating(fleet)?;
    let definition = Definition::SwitchActiveVersion {
        new_active_version: version,
    };
    // Without a scheduler the operation waits for one, and ends in error if none is created.
    operations.order(turn, definition)
}

pub(super) fn delete(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
) -> CommandResult {
    if fleet.runtime.is_none() {
        fleet.active(missing_for_delete)?;
    }
    // A repeated request refers to the same deletion, whose id stays known after its end.
    let under_way = |r: &&OperationRecord| matches!(r.definition, Definition::DeleteScheduler);
    if let Some(open) = operations.open().find(under_way) {
        return Ok(Reply::Operation(open.id));
    }
    let answer = operations.order_first(turn, Definition::DeleteScheduler)?;
    // All rooms and versions will be deleted, so a validation that may take minutes is canceled.
    if !fleet.is_paused() {
        operations.cancel_version_edit(fleet, turn, "the scheduler is to be deleted");
    }
    Ok(answer)
}

pub(super) fn add_rooms(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    amount: i32,
    version: Option<SchedulerVersion>,
) -> CommandResult {
    fleet.active(missing)?;
    operations.not_terminating(fleet)?;
    check_amount(amount, fleet.settings.add_limit)?;
    fleet.room_for(amount)?;
    let version = versions::with_rooms(fleet, version)?;
    let definition = Definition::AddRooms {
        amount,
        version: version.clone(),
    };
    let id = operations.order(turn, definition)?;
    fleet.move_rooms(turn, version.as_ref(), amount);
    Ok(id)
}

pub(super) fn remove_rooms(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    amount: i32,
    force: bool,
    version: Option<SchedulerVersion>,
) -> CommandResult {
    fleet.active(missing)?;
    operations.not_terminating(fleet)?;
    check_amount(amount, fleet.settings.remove_limit)?;
    let version = versions::with_rooms(fleet, version)?;
    let reason = RemovalReason::RequestedByUser.into();
    let id = operations.order(
        turn,
        Definition::RemoveRooms {
            amount,
            rooms_ids: None,
            reason,
            force,
            version: version.clone(),
        },
    )?;
    fleet.move_rooms(turn, version.as_ref(), -amount);
    Ok(id)
}

/// Removes a room: drained unless forced (architecture 6, Drain).
pub(super) fn remove_room(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    id: &RoomId,
    force: bool,
) -> CommandResult {
    fleet.active(missing)?;
    let Some(room) = fleet.rooms.get(id.as_str()) else {
        let text = format!("room {id} not found in scheduler {}", fleet.name);
        return Err(Refusal::new(RefusalKind::NotFound, text));
    };
    if room.may_be_busy() && !force {
        fleet.mark_removal(turn, id, RemovalReason::RequestedByUser, true);
        return Ok(Reply::Done);
    }
    let answer = operations.order(
        turn,
        Definition::RemoveRooms {
            amount: 0,
            rooms_ids: Some(vec![id.clone()]),
            reason: RemovalReason::RequestedByUser.into(),
            force,
            version: None,
        },
    )?;
    if !force {
        // If a match begins before the operation runs, it is played to its end.
        fleet.mark_removal(turn, id, RemovalReason::RequestedByUser, true);
    }
    Ok(answer)
}

pub(super) fn test_operation(
    fleet: &Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    sleep_seconds: i64,
) -> CommandResult {
    fleet.active(missing)?;
    operations.not_terminating(fleet)?;
    operations.order(turn, Definition::TestOperation { sleep_seconds })
}

/// Pauses or resumes the queues. It is stored, so that a paused fleet is still paused after a crash.
pub(super) fn set_paused(
    fleet: &mut Fleet,
    operations: &mut Operations,
    turn: &mut Turn,
    paused: bool,
) -> CommandResult {
    fleet.active(missing)?;
    let was_paused = fleet.is_paused();
    // A pause holds even if the settings change later. Resuming is not stored if the settings say the same.
    fleet.operator.held = (paused || fleet.settings.paused).then_some(paused);
    turn.changes.push(Change::PutOperator(fleet.operator));
    if was_paused && !fleet.is_paused() {
        operations.observe_again(turn.now);
    }
    if was_paused && !fleet.is_paused() && fleet.listing.complete {
        reconcile::reconcile_again(fleet, operations, turn);
    }
    turn.reconsider = true;
    Ok(Reply::Done)
}
