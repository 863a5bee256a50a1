//! A command as it is sent to the owner of a scheduler.

use maestro_core::state::Command;
use std::sync::Arc;

/// A command, and the request it originates from.
pub struct Order {
    /// The command.
    pub command: Command,
    /// `X-Request-Id`, shown in the history of the resulting operation. `None` if no request is behind it.
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
