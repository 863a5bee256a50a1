//! The course of operations in the log: what somebody on call looks for first.

use maestro_core::domain::SchedulerName;
use maestro_core::state::{Outcome, Report};
use tracing::{info, warn};

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
    match report {
        Report::Began { operation, text } => line!(info, "Execution", operation, "{text}"),
        Report::Executed {
            operation,
            took,
            outcome,
            cause,
        } => {
            let ms = took.as_millis() as u64;
            match outcome {
                Outcome::Success => line!(info, "Execution", operation, ms, "Operation finished"),
                Outcome::Canceled => {
                    line!(
                        info,
                        "Execution",
                        operation,
                        ms,
                        cause,
                        "operation canceled"
                    );
                }
                Outcome::Failure => {
                    line!(
                        warn,
                        "Execution",
                        operation,
                        ms,
                        cause,
                        "operation execution failed"
                    );
                }
            }
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
        Report::Evicted { operation } => {
            line!(
                warn,
                "Execution",
                operation,
                "Operation evicted: nobody knows how to carry it out"
            );
        }
        Report::RoomNotRemoved | Report::DuplicateCreate => {}
    }
}
