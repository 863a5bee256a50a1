//! Answers for callers whose deadline had passed before their call began (contract 2.1, 15.11).
//!
//! They are not 504: the original's stores notice the expired deadline and wrap it in the error of what they were about
//! to do. The name of the store's operation is the one used in its metrics (contract 9).

use crate::{RequestContext, Status};

/// What a call was about to do, if the original's error says so.
#[derive(Clone, Copy, Debug)]
pub enum Doing<'a> {
    CreatingScheduler(&'a str),
    /// Listing schedulers, or counting their rooms.
    GettingSchedulers,
    /// Reading a scheduler at a version; an empty version stands for the active one.
    GettingScheduler(&'a str, &'a str),
    GettingVersions(&'a str),
    GettingInstance,
    /// Anything else; the error does not name it.
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

/// Checks that the caller is still waiting, before work begins.
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
