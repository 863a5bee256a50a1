//! What a failure of Redis means for a change, and what to do about it.

use fred::error::{Error, ErrorKind};
use maestro_core::ports::{Cause, CommitError, StoreError};

/// An error of the server begins with a word of its own. Those are known to be answered before anything is written.
const REFUSALS: &[(&str, &str)] = &[
    (
        "OOM",
        "give it more memory (maxmemory), or delete what is not Maestro's",
    ),
    (
        "LOADING",
        "it reads its data after a restart; it will go on by itself",
    ),
    (
        "READONLY",
        "it is a replica; name the primary in adapters.*.redis.url, or wait for the fail-over",
    ),
    ("MISCONF", "its disk is full or failing; see its log"),
    (
        "NOPERM",
        "give its user the rights for keys scheduler:*, operations:*, pending_operations:*, maestro:*, and \
      the channel scheduler:operation_cancellation_requests",
    ),
    ("NOAUTH", "set user and password in adapters.*.redis.url"),
    ("WRONGPASS", "set user and password in adapters.*.redis.url"),
    (
        "WRONGTYPE",
        "another program stored something else under a key of Maestro's; move it away",
    ),
    (
        "NOREPLICAS",
        "too few replicas are connected to it (min-replicas-to-write)",
    ),
    (
        "MASTERDOWN",
        "it is a replica without its primary; wait for the fail-over",
    ),
    ("BUSY", "it is busy with another program's script"),
    ("CLUSTERDOWN", "use a Redis without cluster mode"),
    ("MOVED", "use a Redis without cluster mode"),
    ("NOSCRIPT", "permit EVAL to this user"),
    ("ERR", "see the log of Redis"),
];

fn advice(error: &Error) -> Option<&'static str> {
    let word = error.details().split([' ', ':']).next().unwrap_or_default();
    let known = REFUSALS.iter().find(|(refusal, _)| *refusal == word);
    known.map(|(_, advice)| *advice)
}

/// The message for people.
pub fn cause(error: &Error) -> Cause {
    let text = match advice(error) {
        Some(advice) => format!("Redis: {}; {advice}", error.details()),
        None => format!("Redis: {error}"),
    };
    Cause::new(text, error.clone())
}

/// Whether the server does not know the script, which it forgets when it restarts or fails over.
pub fn is_unknown_script(error: &Error) -> bool {
    error.details().starts_with("NOSCRIPT")
}

/// Whether the server refused the command.
pub fn is_refusal(error: &Error) -> bool {
    advice(error).is_some()
}

/// What another program left under a key of one scheduler: no others are concerned.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Foreign(pub String);

/// Whether a change failed because of what another program left under a key of its scheduler.
pub fn is_of_one_scheduler(cause: &Cause) -> bool {
    let source = std::error::Error::source(cause);
    source.is_some_and(|source| source.is::<Foreign>())
}

/// What the failure of a script says about its changes. A command whose connection is lost, or whose answer is late,
/// may have been run.
pub fn commit_error(error: &Error) -> CommitError {
    let cause = cause(error);
    let never_sent = *error.kind() == ErrorKind::Backpressure;
    if never_sent || is_refusal(error) {
        CommitError::NotApplied(cause)
    } else {
        CommitError::Unknown(cause)
    }
}

/// A read that failed.
pub fn store_error(error: &Error) -> StoreError {
    StoreError::Unavailable(cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_was_not_applied_and_a_lost_answer_is_unknown() {
        for refusal in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "READONLY You can't write against a read only replica.",
            "LOADING Redis is loading the dataset in memory",
            "MISCONF Errors writing to the AOF file: No space left on device",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ] {
            let error = Error::new(ErrorKind::Unknown, refusal);
            let judged = commit_error(&error);
            assert!(matches!(judged, CommitError::NotApplied(_)), "{judged:?}");
            assert!(judged.to_string().contains(refusal));
        }
        for (kind, lost) in [
            (ErrorKind::IO, "Connection Closed"),
            (ErrorKind::Timeout, "Request timed out."),
            (ErrorKind::Canceled, "Canceled."),
        ] {
            let judged = commit_error(&Error::new(kind, lost));
            assert!(matches!(judged, CommitError::Unknown(_)), "{judged:?}");
        }
    }
}
