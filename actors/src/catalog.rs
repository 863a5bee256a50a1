//! The actor that owns the plain reads of the store: listings, versions, operations, counts.
//! They need no owner of a scheduler, only the store (architecture 1).

use crate::error::CallError;
use crate::gauge::{Gauge, Queued, Turn};
use crate::parts::NodeParts;
use actix::prelude::*;
use maestro_core::ports::{Reads, StoreError};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;

/// Reads under way on a node; one more is [`CallError::Busy`].
const READS_MAX: usize = 1024;
const READ_TIMEOUT: Duration = Duration::from_secs(5);

type Reading = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One read, made by [`Catalog::read`].
pub type Query<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

#[derive(Message)]
#[rtype(result = "()")]
struct Read {
    make: Box<dyn FnOnce(Arc<dyn Reads>) -> Reading + Send>,
    queued: Queued,
    _permit: OwnedSemaphorePermit,
}

pub(crate) struct CatalogActor {
    reads: Arc<dyn Reads>,
    io: tokio::runtime::Handle,
    tasks: TaskTracker,
    gauge: Arc<Gauge>,
}

impl CatalogActor {
    fn new(parts: &NodeParts, gauge: Arc<Gauge>) -> Self {
        let (reads, io, tasks) = (parts.reads.clone(), parts.io.clone(), parts.tasks.clone());
        Self {
            reads,
            io,
            tasks,
            gauge,
        }
    }
}

impl Actor for CatalogActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        // Bounded by the permits of the handle.
        ctx.set_mailbox_capacity(READS_MAX * 2);
    }
}

impl Handler<Read> for CatalogActor {
    type Result = ();
    fn handle(&mut self, read: Read, _: &mut Self::Context) {
        drop(read.queued);
        self.gauge.begin_turn(Turn::Command);
        let work = (read.make)(self.reads.clone());
        let permit = read._permit;
        let work = async move {
            work.await;
            drop(permit);
        };
        self.tasks.spawn_on(work, &self.io);
        self.gauge.end_turn();
    }
}

/// The way to the reads. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    addr: Addr<CatalogActor>,
    permits: Arc<Semaphore>,
    pub(crate) gauge: Arc<Gauge>,
    /// Reads that were turned away as too many.
    pub(crate) refused: Arc<AtomicU64>,
}

impl Catalog {
    pub(crate) fn start(parts: &NodeParts, arbiter: &ArbiterHandle) -> Self {
        let gauge = Arc::new(Gauge::new());
        let actor = CatalogActor::new(parts, gauge.clone());
        let addr = CatalogActor::start_in_arbiter(arbiter, move |_| actor);
        Self {
            addr,
            permits: Arc::new(Semaphore::new(READS_MAX)),
            gauge,
            refused: Arc::default(),
        }
    }

    /// Does one read, within five seconds.
    ///
    /// # Errors
    /// [`CallError::Busy`] with too many under way, [`CallError::Timeout`], or what the store says.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(Arc<dyn Reads>) -> Query<T> + Send + 'static,
    ) -> Result<T, CallError> {
        self.read_within(None, query).await
    }

    /// Does one read; `at_most` shortens the five seconds.
    ///
    /// # Errors
    /// As [`Catalog::read`].
    pub async fn read_within<T: Send + 'static>(
        &self,
        at_most: Option<Duration>,
        query: impl FnOnce(Arc<dyn Reads>) -> Query<T> + Send + 'static,
    ) -> Result<T, CallError> {
        let wait = at_most.map_or(READ_TIMEOUT, |most| most.min(READ_TIMEOUT));
        let name = || "catalog".to_owned();
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            self.refused.fetch_add(1, Relaxed);
            return Err(CallError::Busy(name()));
        };
        let (to, answer) = oneshot::channel();
        self.addr.do_send(Read {
            make: Box::new(move |reads| {
                let work = query(reads);
                Box::pin(async move {
                    // Who asked may have left.
                    let _ = to.send(tokio::time::timeout(wait, work).await);
                })
            }),
            queued: self.gauge.enqueue(),
            _permit: permit,
        });
        match answer.await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(CallError::Timeout(name())),
            Err(_) => Err(CallError::ShuttingDown),
        }
    }
}
