//! Waiting for the end of an operation, for calls that answer when it is done.

use crate::error::CallError;
use crate::node::Node;
use maestro_core::domain::{OperationId, OperationRecord};
use maestro_core::state::{Refusal, RefusalKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause between two looks; it doubles.
const LOOK_FIRST: Duration = Duration::from_millis(20);
/// The longest pause: an end is noticed at most this late.
const LOOK_MAX: Duration = Duration::from_millis(500);

impl Node {
    /// Waits until an operation has ended, at most until `deadline`; then the operation goes on, and is returned as it
    /// is. It is read from the store, so that it may be one of a scheduler that another node owns, and that the wait
    /// takes none of the owner's places.
    ///
    /// # Errors
    /// If the scheduler has no such operation, and if the store cannot be read when the time is over.
    pub async fn await_operation(
        &self,
        scheduler: &str,
        id: OperationId,
        deadline: Instant,
    ) -> Result<Arc<OperationRecord>, CallError> {
        let mut pause = LOOK_FIRST;
        loop {
            let name = scheduler.to_owned();
            let left = deadline.saturating_duration_since(Instant::now());
            let look = self
                .catalog()
                .read_within(Some(left.max(LOOK_MAX)), move |reads| {
                    Box::pin(async move { reads.operation(&name, id).await })
                });
            let seen = match look.await {
                Ok(None) => {
                    let text = format!("operation {id} not found in scheduler {scheduler}");
                    return Err(Refusal::new(RefusalKind::NotFound, text).into());
                }
                Ok(Some(record)) if record.status.is_final() => return Ok(record),
                Ok(Some(record)) => Ok(record),
                // The store, or a place among its readers, may be there again in time.
                Err(error) => Err(error),
            };
            let next = Instant::now() + pause;
            if next >= deadline {
                tokio::time::sleep_until(deadline).await;
                return seen;
            }
            tokio::time::sleep_until(next).await;
            pause = LOOK_MAX.min(pause * 2);
        }
    }
}
