//! Plain reads of the store: listings, versions, operations, counts. They need neither an owner nor an actor's thread
//! and run on the I/O runtime (architecture 1).

use crate::error::CallError;
use crate::gauge::Gauge;
use crate::parts::NodeParts;
use crate::turns::Turn;
use maestro_core::ports::{Reads, StoreError};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Maximum number of concurrent reads on a node; one more is [`CallError::Busy`].
const READS_MAX: usize = 1024;
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A read, to be executed by [`Catalog::read`].
pub type Query<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Access to the reads. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    reads: Arc<dyn Reads>,
    io: tokio::runtime::Handle,
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    /// Shows reads in progress as waiting messages, and finished ones as turns.
    pub(crate) gauge: Arc<Gauge>,
    /// Reads that were refused because too many were in progress.
    pub(crate) refused: Arc<AtomicU64>,
}

impl Catalog {
    pub(crate) fn new(parts: &NodeParts) -> Self {
        Self {
            reads: parts.reads.clone(),
            io: parts.io.clone(),
            tasks: parts.tasks.clone(),
            permits: Arc::new(Semaphore::new(READS_MAX)),
            gauge: Arc::new(Gauge::new()),
            refused: Arc::default(),
        }
    }

    /// Executes one read, with a limit of five seconds.
    ///
    /// # Errors
    /// [`CallError::Busy`] if too many reads are in progress; else the store's error, or that it is unavailable if it
    /// does not answer in time.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(Arc<dyn Reads>) -> Query<T> + Send + 'static,
    ) -> Result<T, CallError> {
        self.read_within(None, query).await
    }

    /// Executes one read; `at_most` shortens the limit of five seconds.
    ///
    /// # Errors
    /// As for [`Catalog::read`], and [`CallError::Timeout`] when `at_most` has passed.
    pub async fn read_within<T: Send + 'static>(
        &self,
        at_most: Option<Duration>,
        query: impl FnOnce(Arc<dyn Reads>) -> Query<T> + Send + 'static,
    ) -> Result<T, CallError> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            self.refused.fetch_add(1, Relaxed);
            return Err(CallError::Busy("catalog".to_owned()));
        };
        let wait = at_most.map_or(READ_TIMEOUT, |most| most.min(READ_TIMEOUT));
        let reading = self
            .tasks
            .spawn_on(self.reading(wait, query, permit), &self.io);
        // A second timeout in the caller: the I/O runtime itself may be blocked.
        match tokio::time::timeout(wait, reading).await {
            Ok(Ok(Some(result))) => Ok(result?),
            Ok(Ok(None)) | Err(_) if wait < READ_TIMEOUT => {
                Err(CallError::Timeout("catalog".to_owned()))
            }
            Ok(Ok(None)) | Err(_) => {
                let text = format!("it did not answer within {} s", READ_TIMEOUT.as_secs());
                Err(StoreError::Unavailable(text.into()).into())
            }
            // The task panicked, or the node has ended.
            Ok(Err(error)) if error.is_panic() => {
                Err(StoreError::Corrupt("reading it panicked".into()).into())
            }
            Ok(Err(_)) => Err(CallError::ShuttingDown),
        }
    }

    /// `None` if it took too long.
    fn reading<T: Send + 'static>(
        &self,
        wait: Duration,
        query: impl FnOnce(Arc<dyn Reads>) -> Query<T> + Send + 'static,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Option<Result<T, StoreError>>> + Send + 'static {
        let (reads, gauge, queued) = (self.reads.clone(), self.gauge.clone(), self.gauge.enqueue());
        async move {
            let began = Instant::now();
            let read = tokio::time::timeout(wait, query(reads)).await;
            let took = began.elapsed().as_micros() as u64;
            gauge.totals.took(Turn::Command, took);
            drop((queued, permit));
            read.ok()
        }
    }
}
