//! The course of operations in the log: what somebody on call looks for first.

use maestro_core::domain::SchedulerName;
use maestro_core::state::{Named, Outcome, Report, RoomEnd};
use tracing::{debug, info, warn};

/// What runs every minute for every scheduler, and mostly finds nothing to do: told on debug level, unless it fails.
const PERIODIC: [&str; 2] = ["health_controller", "storage_clean_up"];

/// One line for each step of an operation, under the contract's field names (1.1).
pub(crate) fn tell(scheduler: &SchedulerName, report: &Report) {
    /// Level, phase, operation, more fields, message.
    macro_rules! line {
        ($level:ident, $phase:literal, $operation:expr, $($rest:tt)*) => {
            $level!(
                scheduler_name = %scheduler,
                operation_id = %$operation.id,
                operation_definition = $operation.name,
                operation_phase = $phase,
                $($rest)*
            )
        };
    }
    macro_rules! course {
        ($phase:literal, $operation:expr, $($rest:tt)*) => {
            match is_periodic($operation) {
                true => line!(debug, $phase, $operation, $($rest)*),
                false => line!(info, $phase, $operation, $($rest)*),
            }
        };
    }
    match report {
        Report::Began { operation, text } => course!("Execution", operation, "{text}"),
        Report::Executed {
            operation: of,
            took,
            outcome,
            cause,
        } => {
            let ms = took.as_millis() as u64;
            match outcome {
                Outcome::Success => course!("Execution", of, ms, "Operation finished"),
                Outcome::Canceled => line!(info, "Execution", of, ms, cause, "operation canceled"),
                Outcome::Failure => {
                    line!(
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
        Report::RollsBack { operation } => {
            line!(info, "Rollback", operation, "Starting operation rollback");
        }
        Report::RolledBack {
            operation,
            took,
            success,
        } => {
            let ms = took.as_millis() as u64;
            match success {
                true => line!(info, "Rollback", operation, ms, "rollback succeeded"),
                false => line!(warn, "Rollback", operation, ms, "rollback failed"),
            }
        }
        Report::NotBegun { operation: of, why } => {
            line!(
                info,
                "Execution",
                of,
                cause = why,
                "operation ended before it began"
            );
        }
        Report::Evicted { operation: of } => {
            line!(
                warn,
                "Execution",
                of,
                "Operation evicted: its kind is unknown"
            );
        }
        Report::RoomNotRemoved | Report::DuplicateCreate => {}
        Report::RoomEnded(end) => room_ended(scheduler, end),
        Report::OnError { failures, cause } => warn!(
            scheduler_name = %scheduler,
            failures,
            cause,
            "the scheduler is on-error: its rooms keep failing, and are retried with a growing back-off"
        ),
        Report::InSyncAgain => {
            info!(scheduler_name = %scheduler, "the scheduler is in-sync again");
        }
    }
}

/// One line for an end that nobody planned; the others are told on debug level.
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
