//! What callers are told whose deadline had passed before their call began (contract 2.1, 15.11).
//!
//! Not 504: the original's stores notice that nobody waits, and wrap it in what they were about to do. The name of the
//! store's operation is the one that its metrics have (contract 9).

use crate::{RequestContext, Status};

/// What a call is about to do, where the original says so.
#[derive(Clone, Copy, Debug)]
pub enum Doing<'a> {
    CreatingScheduler(&'a str),
    /// Listing them, or counting their rooms.
    GettingSchedulers,
    /// With a version, or the active one when that is empty.
    GettingScheduler(&'a str, &'a str),
    GettingVersions(&'a str),
    GettingInstance,
    /// No words of its own.
    Other,
}

impl Doing<'_> {
    fn words(self) -> String {
        match self {
            Self::CreatingScheduler(name) => {
                format!("error creating scheduler {name} (operation: CreateScheduler): ")
            }
            Self::GettingSchedulers => {
                "error getting schedulers (operation: GetSchedulersWithFilter): ".to_owned()
            }
            Self::GettingScheduler(name, "") => {
                format!("error getting scheduler {name} (operation: GetScheduler): ")
            }
            Self::GettingScheduler(name, _) => {
                format!("error getting scheduler {name} (operation: GetSchedulerWithFilter): ")
            }
            Self::GettingVersions(name) => {
                format!(
                    "error getting versions of scheduler {name} (operation: GetSchedulerVersions): "
                )
            }
            Self::GettingInstance => "error getting instance: ".to_owned(),
            Self::Other => String::new(),
        }
    }
}

/// Nothing is begun for a caller that has stopped waiting.
///
/// # Errors
/// When its deadline has passed: 500, code 2.
pub fn in_time(context: &RequestContext, doing: Doing<'_>) -> Result<(), Status> {
    match context.expired() {
        true => {
            let words = doing.words();
            Err(Status::unknown(format!("{words}context deadline exceeded")))
        }
        false => Ok(()),
    }
}
