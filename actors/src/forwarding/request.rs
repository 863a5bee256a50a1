//! Events whose caller waits for the outcome: roomevent, playerevent and status (contract 3).

use crate::error::{CallError, EventError};
use crate::node::Node;
use maestro_core::ports::ForwardError;
use maestro_core::state::{Command, EventRequest, Reply};
use std::time::Duration;

impl Node {
    /// Forwards an event to the forwarders of a scheduler, one after the other; the first failure ends it (contract
    /// 6.2). Also `Ok` if there are no forwarders.
    ///
    /// # Errors
    /// The error's text is sent to the room and part of the contract.
    pub async fn forward(
        &self,
        name: &str,
        request: EventRequest,
        at_most: Option<Duration>,
    ) -> Result<(), EventError> {
        let command = Command::Forward(Box::new(request));
        let Reply::Forward(Some(event)) = self.ask(name, command, at_most).await? else {
            return Ok(());
        };
        let handle = self.directory().find(name)?;
        let handle = handle.ok_or_else(|| CallError::Gone(name.to_owned()))?;
        let first = event.to.first().map(|f| f.name.clone());
        let sent = self.parts.outbox.send(event, handle.event_place()?);
        let Some(at_most) = at_most else {
            return Ok(sent.await?);
        };
        let late = |_| ForwardError::Failed {
            forwarder: first.unwrap_or_default(),
            code: "DeadlineExceeded".into(),
            cause: "the deadline of the request has passed".into(),
        };
        Ok(tokio::time::timeout(at_most, sent).await.map_err(late)??)
    }
}
