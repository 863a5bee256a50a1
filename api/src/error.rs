//! Maps errors of calls on actors to statuses for clients; nothing else does (architecture 4).

use maestro_actors::CallError;
use maestro_core::domain::PlatformFault;
use maestro_core::ports::{MetricsError, PlatformError, StoreError};
use maestro_core::rules::validation::Invalid;
use maestro_core::state::{Refusal, RefusalKind, Reply};

use crate::convert::TooDeep;
use crate::{Code, OwnerHint, Status};

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let owner = match &error {
            CallError::Elsewhere { address, .. } => Some(OwnerHint::At(address.clone())),
            CallError::Unowned(_) => Some(OwnerHint::Nobody),
            _ => None,
        };
        let code = match error {
            CallError::Refused(refusal) => return refusal.into(),
            CallError::Busy(_) => Code::ResourceExhausted,
            CallError::Timeout(_)
            | CallError::Unanswered(_)
            | CallError::Late { cause: None, .. } => Code::DeadlineExceeded,
            CallError::Gone(_) => Code::NotFound,
            CallError::Restarting(_)
            | CallError::Unloaded { .. }
            | CallError::Elsewhere { .. }
            | CallError::Unowned(_)
            | CallError::NoHost
            | CallError::HeldUp(_)
            | CallError::Degraded { .. }
            | CallError::ShuttingDown
            | CallError::Late { cause: Some(_), .. }
            | CallError::Store(StoreError::Unavailable(_) | StoreError::Fenced { .. }) => {
                Code::Unavailable
            }
            CallError::Store(StoreError::Corrupt(_)) => Code::Unknown,
        };
        let text = match &error {
            // Clients know the words of the original, which has none before them (contract 15.14).
            CallError::Store(StoreError::Corrupt(cause)) => cause.to_string(),
            _ => error.to_string(),
        };
        Self {
            owner,
            ..Self::new(code, text)
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::Invalid => Code::InvalidArgument,
            RefusalKind::NotFound => Code::NotFound,
            RefusalKind::AlreadyExists => Code::AlreadyExists,
            RefusalKind::Conflict => Code::FailedPrecondition,
            RefusalKind::Ended => Code::Aborted,
            RefusalKind::Unavailable | RefusalKind::Absent => Code::Unavailable,
            RefusalKind::Exhausted => Code::ResourceExhausted,
        };
        Self {
            lasts: refusal.kind == RefusalKind::Absent,
            ..Self::new(code, refusal.message)
        }
    }
}

impl From<MetricsError> for Status {
    fn from(error: MetricsError) -> Self {
        let code = match &error {
            MetricsError::Invalid(_) => Code::InvalidArgument,
            MetricsError::Late(_) => Code::DeadlineExceeded,
            MetricsError::Internal(_) => Code::Internal,
            MetricsError::Unavailable(_) => Code::Unavailable,
            MetricsError::Unprepared(_) => Code::FailedPrecondition,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PlatformError> for Status {
    fn from(error: PlatformError) -> Self {
        let code = match error.fault {
            PlatformFault::Foreign => Code::AlreadyExists,
            PlatformFault::Forbidden => Code::PermissionDenied,
            PlatformFault::Invalid => Code::InvalidArgument,
            PlatformFault::Terminating | PlatformFault::Unavailable => Code::Unavailable,
        };
        Self::new(code, error.text)
    }
}

impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        Self::invalid_argument(invalid.to_message())
    }
}

impl From<TooDeep> for Status {
    fn from(error: TooDeep) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

/// The status for a reply that does not belong to the command: a defect of ours.
pub fn unexpected(reply: &Reply) -> Status {
    tracing::error!(?reply, "a command brought the reply of another");
    Status::internal("internal error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_code() {
        let s = || "s".to_owned();
        let store = |error: StoreError| CallError::Store(error);
        let refused = |kind| CallError::Refused(Refusal::new(kind, "because"));
        let late = |cause| CallError::Late {
            name: s(),
            operation: maestro_core::domain::OperationId(uuid::Uuid::nil()),
            cause,
        };
        let cases = [
            (CallError::Busy(s()), 8),
            (CallError::Timeout(s()), 4),
            (CallError::Unanswered(s()), 4),
            (late(None), 4),
            (late(Some(s())), 14),
            (CallError::Restarting(s()), 14),
            (
                CallError::Unloaded {
                    name: s(),
                    cause: s(),
                },
                14,
            ),
            (CallError::HeldUp(s()), 14),
            (CallError::Unowned(s()), 14),
            (CallError::NoHost, 14),
            (
                CallError::Elsewhere {
                    name: s(),
                    address: s(),
                },
                14,
            ),
            (
                CallError::Degraded {
                    name: s(),
                    cause: s(),
                },
                14,
            ),
            (CallError::Gone(s()), 5),
            (CallError::ShuttingDown, 14),
            (store(StoreError::Unavailable(s().into())), 14),
            (store(StoreError::Corrupt(s().into())), 2),
            (refused(RefusalKind::Invalid), 3),
            (refused(RefusalKind::NotFound), 5),
            (refused(RefusalKind::AlreadyExists), 6),
            (refused(RefusalKind::Conflict), 9),
            (refused(RefusalKind::Ended), 10),
            (refused(RefusalKind::Unavailable), 14),
            (refused(RefusalKind::Absent), 14),
            (refused(RefusalKind::Exhausted), 8),
        ];
        for (error, code) in cases {
            let text = match &error {
                CallError::Store(StoreError::Corrupt(_)) => s(),
                other => other.to_string(),
            };
            let status = Status::from(error);
            assert_eq!((status.code.number(), status.message), (code, text));
        }
    }
}
