//! A command as it is sent to the owner of a scheduler.

use maestro_core::state::Command;
use std::sync::Arc;

/// A command, and the request on whose behalf it comes.
pub struct Order {
    /// What is ordered.
    pub command: Command,
    /// `X-Request-Id`: the operation that is ordered tells of it. `None`: no request has asked.
    pub request: Option<Arc<str>>,
}

impl From<Command> for Order {
    fn from(command: Command) -> Self {
        Self {
            command,
            request: None,
        }
    }
}
