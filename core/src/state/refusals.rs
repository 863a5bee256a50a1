//! The wording of refused commands (contract 2.4).

use crate::domain::*;
use crate::state::command::{Command, Refusal, RefusalKind};

pub(super) fn check_amount(amount: i32, limit: i32) -> Result<(), Refusal> {
    if (1..=limit).contains(&amount) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::Invalid,
        format!("amount must be between 1 and {limit}"),
    ))
}

pub(super) fn not_found(text: String) -> Refusal {
    Refusal::new(RefusalKind::NotFound, text)
}

pub(super) fn already_exists(name: &SchedulerName) -> Refusal {
    let text = format!("error creating scheduler {name}: name already exists");
    Refusal::new(RefusalKind::AlreadyExists, text)
}

pub(super) fn missing(name: &SchedulerName) -> Refusal {
    not_found(format!("scheduler {name} not found"))
}

pub(super) fn without_runtime(name: &SchedulerName) -> Refusal {
    not_found(format!("{name} has no runtime: create it first"))
}

pub(super) fn missing_for_version(name: &SchedulerName) -> Refusal {
    not_found(format!(
        "no scheduler found, can not create new version for inexistent scheduler: scheduler {name} not found"
    ))
}

pub(super) fn missing_for_delete(name: &SchedulerName) -> Refusal {
    not_found(format!(
        "no scheduler found, can not delete nonexistent scheduler: scheduler {name} not found"
    ))
}

pub(super) fn absent_for_allocation(name: &SchedulerName) -> Refusal {
    let text = format!("no ready rooms available for scheduler {name}: there is no such scheduler");
    Refusal::new(RefusalKind::Absent, text)
}

pub(super) fn unpublished(name: &SchedulerName) -> Refusal {
    let text = format!(
        "no ready rooms available for scheduler {name}: none of its versions is published; publish one that is started"
    );
    Refusal::new(RefusalKind::Absent, text)
}

/// The refusal of a command for an unknown scheduler. `None` if the command does not need an existing one.
pub fn refuse_unknown(name: &SchedulerName, command: &Command) -> Option<Refusal> {
    Some(match command {
        Command::CreateScheduler(_) => return None,
        Command::CreateRuntime if name.as_str().contains(':') => missing(name),
        Command::CreateRuntime => return None,
        Command::Runtime => without_runtime(name),
        // No scheduler can have such a name, and in Redis its keys would be those of another one (contract 8.2).
        Command::SwitchVersion(_) if name.as_str().contains(':') => missing(name),
        Command::SwitchVersion(_) => return None,
        Command::NewVersion(_) | Command::Patch(_) => missing_for_version(name),
        Command::DeleteScheduler => missing_for_delete(name),
        Command::Allocate => absent_for_allocation(name),
        _ => missing(name),
    })
}
