//! Waiting for the end of an operation, for calls that answer when it is done.

use crate::error::CallError;
use crate::node::Node;
use maestro_core::domain::{OperationId, OperationRecord};
use maestro_core::ports::StoreError;
use maestro_core::state::{Refusal, RefusalKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The first pause between two looks; it doubles.
const LOOK_FIRST: Duration = Duration::from_millis(20);
/// The longest pause: an end is noticed at most this late.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// The last look begins so long before the end of the wait: long enough to read, and too short to miss much.
const LOOK_LAST: Duration = Duration::from_millis(150);
/// How long an operation is absent that is not there: an owner writes again what the store has lost.
const ABSENT: Duration = Duration::from_secs(2);

impl Node {
    /// Waits until an operation has ended, at most until `deadline`; then the operation goes on, and is returned as it
    /// is. It is read from the store, so that it may be one of a scheduler that another node owns, and that the wait
    /// takes none of the owner's places.
    ///
    /// # Errors
    /// If the scheduler has had no such operation for two seconds, and if it was never seen or the store cannot be read
    /// when the time is over.
    pub async fn await_operation(
        &self,
        scheduler: &str,
        id: OperationId,
        deadline: Instant,
    ) -> Result<Arc<OperationRecord>, CallError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let last = deadline - LOOK_LAST.min(left / 4);
        let mut pause = LOOK_FIRST;
        // The last one that was seen, and since when it is not there.
        let (mut known, mut absent) = (None, None);
        loop {
            let looked = Instant::now();
            let left = deadline.saturating_duration_since(looked);
            // The answer is there in time if there is one already.
            let most = if known.is_some() {
                left
            } else {
                left.max(LOOK_MAX)
            };
            let seen = match self.look_at_operation(scheduler, id, most).await {
                Ok(Some(record)) if record.status.is_final() => return Ok(record),
                Ok(Some(record)) => {
                    absent = None;
                    known = Some(record.clone());
                    Ok(record)
                }
                Ok(None) if looked.duration_since(*absent.get_or_insert(looked)) >= ABSENT => {
                    let text = format!("operation {id} not found in scheduler {scheduler}");
                    return Err(Refusal::new(RefusalKind::NotFound, text).into());
                }
                Ok(None) => known.clone().ok_or_else(|| lost(scheduler, id)),
                Err(error @ CallError::Timeout(_)) => known.clone().ok_or(error),
                // The store, or a place among its readers, may be there again in time.
                Err(error) => Err(error),
            };
            if looked >= last {
                return seen;
            }
            sleep_until(last.min(Instant::now() + pause)).await;
            pause = LOOK_MAX.min(pause * 2);
        }
    }

    async fn look_at_operation(
        &self,
        scheduler: &str,
        id: OperationId,
        most: Duration,
    ) -> Result<Option<Arc<OperationRecord>>, CallError> {
        let name = scheduler.to_owned();
        let catalog = self.catalog();
        let look = catalog.read_within(Some(most), move |reads| {
            Box::pin(async move { reads.operation(&name, id).await })
        });
        look.await
    }
}

/// The answer to a wait for an operation that was ordered, and that the store does not have at the moment.
fn lost(scheduler: &str, id: OperationId) -> CallError {
    let text = format!(
        "operation {id} of scheduler {scheduler} is not there; if the store has lost it, its owner writes it again: read \
         it in a moment"
    );
    StoreError::Unavailable(text.into()).into()
}
