//! Waits for operations, on the node that took the call: they read the store, so that they take no place of an owner,
//! and an owner that moves does not end them.

use std::sync::Arc;
use std::time::Duration;

use maestro_actors::Node;
use maestro_core::domain::{OperationId, OperationRecord};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{ApiResult, Code, RequestContext, Status};

/// A wait ends so long before its caller's deadline: its answer has to be there before the caller stops waiting,
/// because it says what goes on.
const AHEAD: Duration = Duration::from_millis(200);

/// The waits of a node.
#[derive(Clone)]
pub struct Waits {
    node: Node,
    stop: CancellationToken,
}

impl Waits {
    /// No call waits yet.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            stop: CancellationToken::new(),
        }
    }

    /// Answers all calls that wait.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Waits until the operation that an order was answered with has ended, at most `until`; then it is returned as it
    /// is.
    ///
    /// # Errors
    /// If it cannot be read, and if the node shuts down first. The error names the operation.
    pub async fn operation(
        &self,
        scheduler: &str,
        id: &str,
        until: Instant,
    ) -> ApiResult<Arc<OperationRecord>> {
        let Ok(id) = id.parse::<OperationId>() else {
            tracing::error!(id, "an order has no operation");
            return Err(Status::internal("internal error"));
        };
        let waiting = self.node.await_operation(scheduler, id, until);
        match self.stop.run_until_cancelled(waiting).await {
            Some(Ok(record)) => Ok(record),
            Some(Err(error)) => Err(Status {
                operation: Some(id.to_string()),
                ..error.into()
            }),
            None => Err(goes_on(
                Code::Unavailable,
                "this node is shutting down",
                scheduler,
                id,
            )),
        }
    }

    /// Waits until then. False if the node shuts down before.
    pub async fn until(&self, then: Instant) -> bool {
        let waiting = tokio::time::sleep_until(then);
        self.stop.run_until_cancelled(waiting).await.is_some()
    }
}

/// When the wait of a call ends that waits for `most` if its caller does not say how long.
pub fn end_of_wait(context: &RequestContext, most: Duration) -> Instant {
    Instant::now() + context.remaining().map_or(most, ahead)
}

fn ahead(remaining: Duration) -> Duration {
    remaining.saturating_sub(AHEAD.min(remaining / 4))
}

/// The answer to a caller whose operation has not ended.
pub fn goes_on(code: Code, why: &str, scheduler: &str, id: OperationId) -> Status {
    let text = format!(
        "{why}: operation {id} of scheduler {scheduler} goes on; read it at /schedulers/{scheduler}/operations/{id}, or \
         cancel it there"
    );
    Status {
        operation: Some(id.to_string()),
        ..Status::new(code, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_wait_is_there_before_its_caller_has_gone() {
        let seconds = Duration::from_secs;
        assert_eq!(ahead(seconds(10)), seconds(10) - AHEAD);
        assert_eq!(ahead(Duration::from_millis(40)), Duration::from_millis(30));
        assert_eq!(ahead(Duration::ZERO), Duration::ZERO);
    }
}
