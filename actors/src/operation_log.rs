//! Logs the progress of operations, which is what people on call look for first.

use maestro_core::domain::{OperationId, SchedulerName};
use maestro_core::ports::Change;
use maestro_core::state::{Named, Outcome, Report, RoomEnd, RoomHang};
use std::time::Duration;
use tracing::{debug, info, warn};

/// Operations that run every minute for every scheduler and mostly find nothing to do: logged at debug level unless
/// they fail.
const PERIODIC: [&str; 2] = ["health_controller", "storage_clean_up"];

/// Writes a line: scheduler, level, phase, operation, further fields, message.
macro_rules! line {
    ($scheduler:expr, $level:ident, $phase:literal, $operation:expr, $($rest:tt)*) => {
        $level!(
            scheduler_name = %$scheduler,
            operation_id = %$operation.id,
            operation_definition = $operation.name,
            operation_phase = $phase,
            $($rest)*
        )
    };
}

/// Like `line`, at the level of an expected step.
macro_rules! course {
    ($scheduler:expr, $phase:literal, $operation:expr, $($rest:tt)*) => {
        match is_periodic($operation) {
            true => line!($scheduler, debug, $phase, $operation, $($rest)*),
            false => line!($scheduler, info, $phase, $operation, $($rest)*),
        }
    };
}

/// Writes one line for each step of an operation, with the contract's field names (1.1).
pub(crate) fn record(scheduler: &SchedulerName, report: &Report) {
    match report {
        Report::Began { operation, text } => course!(scheduler, "Execution", operation, "{text}"),
        Report::Executed {
            operation,
            took,
            outcome,
            cause,
        } => executed(scheduler, operation, *took, outcome, cause),
        Report::RollsBack { operation } => {
            line!(
                scheduler,
                info,
                "Rollback",
                operation,
                "Starting operation rollback"
            );
        }
        Report::RolledBack {
            operation,
            took,
            success,
        } => {
            let ms = took.as_millis() as u64;
            match success {
                true => line!(
                    scheduler,
                    info,
                    "Rollback",
                    operation,
                    ms,
                    "rollback succeeded"
                ),
                false => line!(
                    scheduler,
                    warn,
                    "Rollback",
                    operation,
                    ms,
                    "rollback failed"
                ),
            }
        }
        Report::NotBegun { operation: of, why } => {
            line!(
                scheduler,
                info,
                "Execution",
                of,
                cause = why,
                "operation ended before it began"
            );
        }
        Report::Evicted { operation: of } => {
            line!(
                scheduler,
                warn,
                "Execution",
                of,
                "Operation evicted: its kind is unknown"
            );
        }
        Report::RoomNotRemoved | Report::DuplicateCreate => {}
        Report::RoomEnded(end) => room_ended(scheduler, end),
        Report::RoomHangs(hang) => room_hangs(scheduler, hang),
        Report::OnError { failures, cause } => on_error(scheduler, *failures, cause),
        Report::NotShown { why } => not_shown(scheduler, why),
        Report::InSyncAgain => in_sync_again(scheduler),
    }
}

/// Logs a room that does not come up or does not end.
fn room_hangs(scheduler: &SchedulerName, hang: &RoomHang) {
    warn!(
        scheduler_name = %scheduler,
        room_id = %hang.room,
        version = %hang.version,
        reason = "expired_room",
        why = hang.why,
        in_match = hang.in_match,
        "a room hangs: it is ended and replaced"
    );
}

fn not_shown(scheduler: &SchedulerName, why: &str) {
    warn!(scheduler_name = %scheduler, why, "the platform does not show what it should; trying again");
}

fn in_sync_again(scheduler: &SchedulerName) {
    info!(scheduler_name = %scheduler, "the scheduler is in-sync again");
}

fn on_error(scheduler: &SchedulerName, failures: u32, cause: &str) {
    warn!(
        scheduler_name = %scheduler,
        failures,
        cause,
        "the scheduler is on-error: its rooms keep failing, and are retried with a growing back-off"
    );
}

/// Logs the end of an operation's execution; failures are logged whatever the operation.
fn executed(scheduler: &SchedulerName, of: &Named, took: Duration, outcome: &Outcome, cause: &str) {
    let ms = took.as_millis() as u64;
    match outcome {
        Outcome::Success => course!(scheduler, "Execution", of, ms, "Operation finished"),
        Outcome::Canceled => {
            line!(
                scheduler,
                info,
                "Execution",
                of,
                ms,
                cause,
                "operation canceled"
            );
        }
        Outcome::Failure => {
            line!(
                scheduler,
                warn,
                "Execution",
                of,
                ms,
                cause,
                "operation execution failed"
            );
        }
    }
}

/// Logs the end of a room: an unexpected one as a warning, others at debug level.
fn room_ended(scheduler: &SchedulerName, end: &RoomEnd) {
    macro_rules! line {
        ($level:ident, $text:literal) => {
            $level!(
                scheduler_name = %scheduler,
                room_id = %end.room,
                version = %end.version,
                reason = end.reason,
                exit_code = end.code,
                signal = end.signal,
                in_match = end.in_match,
                words = end.words,
                last_line = end.last_line,
                $text
            )
        };
    }
    match (end.planned, end.restarts) {
        (true, _) => line!(debug, "a room ended"),
        (false, false) => line!(warn, "a room ended unexpectedly"),
        (false, true) => line!(
            warn,
            "a container of a room ended and is started again in place"
        ),
    }
}

fn is_periodic(operation: &Named) -> bool {
    PERIODIC.contains(&operation.name.as_str())
}
/// The operation whose record a change writes.
pub(crate) fn operation_of(change: &Change) -> Option<OperationId> {
    match change {
        Change::PutOperation(operation) => Some(operation.id),
        _ => None,
    }
}
