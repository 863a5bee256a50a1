//! What users order (contract 2.4), and what they get at once: an operation's id.

use super::operations::Enqueue;
use crate::domain::*;
use crate::ports::Change;
use crate::rules::{patch::Patch, validation};
use crate::state::SchedulerState;
use crate::state::input::{Answer, Caller, Command, Refusal, RefusalKind, Reply};
use crate::state::report::Report;
use crate::state::turn::Turn;
use std::sync::Arc;

impl SchedulerState {
    pub(super) fn on_command(
        &mut self,
        turn: &mut Turn,
        caller: Caller,
        request: Option<Arc<str>>,
        command: Command,
    ) {
        turn.request = request;
        let answer = self.obey(turn, command);
        // What else comes of this decision was not ordered by the request.
        turn.request = None;
        turn.reply(caller, answer);
    }

    fn obey(&mut self, turn: &mut Turn, command: Command) -> Answer {
        match command {
            Command::CreateScheduler(scheduler) => self.create(turn, *scheduler),
            Command::NewVersion(scheduler) => self.new_version(turn, *scheduler),
            Command::Patch(patch) => self.patch(turn, &patch),
            Command::SwitchVersion(version) => self.switch_version(turn, version),
            Command::DeleteScheduler => self.delete(turn),
            Command::AddRooms { amount } => self.add_rooms(turn, amount),
            Command::RemoveRooms { amount, force } => self.remove_rooms(turn, amount, force),
            Command::RemoveRoom { room, force } => self.remove_room(turn, &room, force),
            Command::Cancel(id) => self.cancel(turn, id),
            Command::TestOperation { sleep_seconds } => self.test_operation(turn, sleep_seconds),
            Command::RoomsSummary => self.fleet.rooms_summary(),
            Command::Rooms(query) => Ok(Reply::Rooms(self.fleet.rooms_page(&query))),
            Command::Room(room) => self.fleet.room_detail(&room),
            Command::Rollout => self.rollout_view(turn.now),
            Command::PauseRollout => self.set_rollout_paused(turn, true),
            Command::ResumeRollout => self.set_rollout_paused(turn, false),
            Command::AbortRollout => self.abort_rollout(turn),
            Command::Allocate => self.fleet.allocate(turn),
            Command::Address(room) => self.fleet.room_address(&room),
            Command::Forward(request) => self.fleet.plan_event(*request),
            Command::SetPaused(paused) => self.set_paused(turn, paused),
        }
    }

    fn create(&mut self, turn: &mut Turn, mut scheduler: Scheduler) -> Answer {
        if self.fleet.scheduler.is_some() {
            turn.reports.push(Report::DuplicateCreate);
            return Err(already_exists(&self.fleet.name));
        }
        self.end_orphans(turn);
        scheduler.name = self.fleet.name.clone();
        scheduler.state = scheduler_state::CREATING.into();
        scheduler.spec.version = SchedulerVersion::initial();
        scheduler.rollback_version = String::new();
        scheduler.created_at = turn.now.wall;
        scheduler.last_downscale_at = GoTime(None);
        scheduler.match_allocation.get_or_insert_default();
        let scheduler = Arc::new(scheduler);
        turn.changes
            .push(Change::CreateScheduler(scheduler.clone()));
        self.fleet
            .versions
            .insert(scheduler.version().clone(), scheduler.clone());
        self.fleet.scheduler = Some(scheduler.clone());
        self.fleet.active_changed(turn);
        self.arm_periodic(turn);
        self.enqueue(
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

    fn new_version(&mut self, turn: &mut Turn, mut wanted: Scheduler) -> Answer {
        self.no_version_edit("create new scheduler version")?;
        let active = self.fleet.active(missing_for_version)?;
        self.not_terminating()?;
        wanted.name = self.fleet.name.clone();
        wanted.state = active.state.clone();
        wanted.spec.version = active.version().clone();
        wanted.last_downscale_at = active.last_downscale_at;
        wanted.match_allocation.get_or_insert_default();
        let scheduler = Arc::new(wanted);
        self.order(turn, Definition::CreateNewSchedulerVersion { scheduler })
    }

    /// The caller has refused an empty patch: that comes before all else (contract 2.4).
    fn patch(&mut self, turn: &mut Turn, patch: &Patch) -> Answer {
        self.no_version_edit("patch scheduler")?;
        let active = self.fleet.active(missing_for_version)?;
        self.not_terminating()?;
        let scheduler = patch.apply(&active);
        if let Err(invalid) = validation::validate_new(&scheduler) {
            return Err(Refusal::new(
                RefusalKind::Invalid,
                invalid.to_patch_message(),
            ));
        }
        self.order(
            turn,
            Definition::CreateNewSchedulerVersion {
                scheduler: Arc::new(scheduler),
            },
        )
    }

    /// No check whether the version exists: the operation tells (contract 2.4, [MUST]).
    fn switch_version(&mut self, turn: &mut Turn, version: SchedulerVersion) -> Answer {
        self.no_version_edit("switch active version")?;
        self.not_terminating()?;
        let definition = Definition::SwitchActiveVersion {
            new_active_version: version,
        };
        // Without a scheduler it waits for one, and ends in error when none comes.
        self.order(turn, definition)
    }

    fn delete(&mut self, turn: &mut Turn) -> Answer {
        self.fleet.active(missing_for_delete)?;
        // Asked for twice: it is the same deletion, and its id stays known after the end.
        let under_way = |r: &&OperationRecord| matches!(r.definition, Definition::DeleteScheduler);
        if let Some(open) = self.operations.open().find(under_way) {
            return Ok(Reply::Operation(open.id));
        }
        let answer = self.order_first(turn, Definition::DeleteScheduler)?;
        // Its rooms and versions go anyway: nobody waits for a validation of minutes.
        if !self.fleet.is_paused() {
            self.cancel_version_edit(turn, "the scheduler is to be deleted");
        }
        Ok(answer)
    }

    fn add_rooms(&mut self, turn: &mut Turn, amount: i32) -> Answer {
        self.fleet.active(missing)?;
        self.not_terminating()?;
        check_amount(amount, self.fleet.settings.add_limit)?;
        self.fleet.room_for(amount)?;
        let id = self.order(turn, Definition::AddRooms { amount })?;
        self.fleet.move_replicas(turn, amount);
        Ok(id)
    }

    fn remove_rooms(&mut self, turn: &mut Turn, amount: i32, force: bool) -> Answer {
        self.fleet.active(missing)?;
        self.not_terminating()?;
        check_amount(amount, self.fleet.settings.remove_limit)?;
        let reason = RemovalReason::RequestedByUser.as_str().into();
        let id = self.order(
            turn,
            Definition::RemoveRooms {
                amount,
                rooms_ids: None,
                reason,
                force,
            },
        )?;
        self.fleet.move_replicas(turn, -amount);
        Ok(id)
    }
}

impl SchedulerState {
    /// Drained unless forced (architecture 6, Drain).
    fn remove_room(&mut self, turn: &mut Turn, id: &RoomId, force: bool) -> Answer {
        self.fleet.active(missing)?;
        let Some(room) = self.fleet.rooms.get(id.as_str()) else {
            let text = format!("room {id} not found in scheduler {}", self.fleet.name);
            return Err(Refusal::new(RefusalKind::NotFound, text));
        };
        if room.is_busy() && !force {
            self.fleet
                .mark_removal(turn, id, RemovalReason::RequestedByUser, true);
            return Ok(Reply::Done);
        }
        let answer = self.order(
            turn,
            Definition::RemoveRooms {
                amount: 0,
                rooms_ids: Some(vec![id.clone()]),
                reason: RemovalReason::RequestedByUser.as_str().into(),
                force: false,
            },
        )?;
        if !force {
            // A match that begins before the operation runs is played to its end.
            self.fleet
                .mark_removal(turn, id, RemovalReason::RequestedByUser, true);
        }
        Ok(answer)
    }

    fn test_operation(&mut self, turn: &mut Turn, sleep_seconds: i64) -> Answer {
        self.fleet.active(missing)?;
        self.not_terminating()?;
        self.order(turn, Definition::TestOperation { sleep_seconds })
    }

    /// Stored: whoever holds a fleet to look at it finds it held after a crash too.
    fn set_paused(&mut self, turn: &mut Turn, paused: bool) -> Answer {
        self.fleet.active(missing)?;
        let was_paused = self.fleet.is_paused();
        // A pause holds whatever the settings say later. To move as all others is no word of its own.
        self.fleet.operator.held = (paused || self.fleet.settings.paused).then_some(paused);
        turn.changes.push(Change::PutOperator(self.fleet.operator));
        if was_paused && !self.fleet.is_paused() && self.fleet.listing.complete {
            self.reconcile_again(turn);
        }
        turn.reconsider = true;
        Ok(Reply::Done)
    }

    pub(super) fn order(&mut self, turn: &mut Turn, definition: Definition) -> Answer {
        self.order_with(turn, definition, false)
    }

    /// Ahead of what waits in its lane.
    fn order_first(&mut self, turn: &mut Turn, definition: Definition) -> Answer {
        self.order_with(turn, definition, true)
    }

    fn order_with(&mut self, turn: &mut Turn, definition: Definition, priority: bool) -> Answer {
        if self.queue_is_full() {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!(
                    "{} operations of scheduler {} are waiting already; try again when some have ended",
                    self.fleet.settings.queue_limit, self.fleet.name
                ),
            ));
        }
        let how = Enqueue {
            by_user: true,
            priority,
            ..Enqueue::default()
        };
        Ok(Reply::Operation(self.enqueue(turn, definition, how)))
    }
}

impl SchedulerState {
    /// A scheduler whose deletion has begun takes no orders but the next deletion: they would wait in vain.
    pub(super) fn not_terminating(&self) -> Result<(), Refusal> {
        if !self.fleet.is_terminating() {
            return Ok(());
        }
        let why = match self.is_deleting() {
            true => "it is being deleted",
            false => "its deletion failed; delete it again",
        };
        let text = format!("scheduler {} takes no orders: {why}", self.fleet.name);
        Err(Refusal::new(RefusalKind::Conflict, text))
    }

    /// One edit of versions at a time (contract 2.4, conflicts).
    pub(super) fn no_version_edit(&self, what: &str) -> Result<(), Refusal> {
        match self
            .operations
            .open()
            .find(|r| r.definition.is_version_edit())
        {
            None => Ok(()),
            Some(open) => Err(Refusal::new(
                RefusalKind::Conflict,
                format!(
                    "cannot {what}: there is already an ongoing version operation (id: {}) for scheduler {}",
                    open.id, self.fleet.name
                ),
            )),
        }
    }
}

fn check_amount(amount: i32, limit: i32) -> Result<(), Refusal> {
    if (1..=limit).contains(&amount) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::Invalid,
        format!("amount must be between 1 and {limit}"),
    ))
}

fn not_found(text: String) -> Refusal {
    Refusal::new(RefusalKind::NotFound, text)
}

fn already_exists(name: &SchedulerName) -> Refusal {
    let text = format!("error creating scheduler {name}: name already exists");
    Refusal::new(RefusalKind::AlreadyExists, text)
}

pub(super) fn missing(name: &SchedulerName) -> Refusal {
    not_found(format!("scheduler {name} not found"))
}

fn missing_for_version(name: &SchedulerName) -> Refusal {
    not_found(format!(
        "no scheduler found, can not create new version for inexistent scheduler: scheduler {name} not found"
    ))
}

fn missing_for_delete(name: &SchedulerName) -> Refusal {
    not_found(format!(
        "no scheduler found, can not delete nonexistent scheduler: scheduler {name} not found"
    ))
}

/// The answer to a command for a scheduler that nobody has ever heard of. `None`: the
/// command does not need the scheduler to exist.
pub fn refuse_unknown(name: &SchedulerName, command: &Command) -> Option<Refusal> {
    Some(match command {
        Command::CreateScheduler(_) | Command::SwitchVersion(_) => return None,
        Command::NewVersion(_) | Command::Patch(_) => missing_for_version(name),
        Command::DeleteScheduler => missing_for_delete(name),
        Command::Allocate => Refusal::new(
            RefusalKind::Absent,
            format!("no ready rooms available for scheduler {name}: there is no such scheduler"),
        ),
        _ => missing(name),
    })
}
