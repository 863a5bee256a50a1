//! All ports of a store in memory. It passes the contract suite of stores, and on request it loses
//! acknowledgements, falls behind, is slow, or is down.

mod checks;
mod looks;
mod node;
mod reads;
mod tables;

pub use node::{FakeNode, member};

use super::{gate::Gate, script::Script, this_thread};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};
use tables::{Row, Session, loaded};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use uuid::Uuid;

/// The kinds of calls of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreCall {
    Commit,
    StoredSeq,
    Load,
    /// Any of [`Reads`] but `check`.
    Read,
    Check,
    Discover,
    /// The nodes: listed, or told to drain.
    Members,
    Owners,
    Acquire,
    Renew,
    Release,
    /// What nobody needs any more is forgotten.
    Forget,
}

/// The fault of one call.
#[derive(Clone, Debug)]
pub enum StoreFault {
    /// Fails before anything was done.
    NotApplied,
    /// A read finds what it cannot make sense of.
    Unreadable,
    /// A commit is applied, and its outcome is reported as unknown.
    AppliedUnknown,
    /// A commit is not applied, and its outcome is reported as unknown.
    NotAppliedUnknown,
    /// A commit is applied, and never answered.
    LostAcknowledgement,
    /// Before a commit, the last one of that scheduler is lost: it is answered `Behind`.
    Behind,
    /// Takes that long on tokio's clock, and then continues as usual.
    Slow(Duration),
    /// Waits at the gate, and then continues as usual.
    Held(Gate),
    /// Is carried out, and then waits at the gate before it answers.
    HeldAnswer(Gate),
}

type Hook = Box<dyn FnMut(StoreCall, &[Change]) -> Option<StoreFault> + Send>;

#[derive(Clone)]
pub struct FakeStore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    schedulers: BTreeMap<SchedulerName, Row>,
    sessions: BTreeMap<Uuid, Session>,
    watchers: Vec<mpsc::UnboundedSender<OwnerChange>>,
    script: Script<StoreCall, StoreFault>,
    hook: Option<Hook>,
    threads: BTreeSet<String>,
    down: Option<Arc<Outage>>,
    lease: Option<Duration>,
    feeds: Vec<mpsc::UnboundedSender<FeedEvent>>,
    /// Batches that were applied, oldest first.
    log: Vec<(Fence, Arc<[Change]>)>,
    committing: HashSet<SchedulerName>,
    violations: Vec<String>,
}

impl FakeStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::default(),
        })
    }

    /// The next call of this kind without an earlier fault fails this way.
    pub fn fail(&self, call: StoreCall, fault: StoreFault) {
        self.inner.lock().script.once(call, fault);
    }
    /// Every call of this kind fails this way until [`Self::heal`].
    pub fn fail_always(&self, call: StoreCall, fault: StoreFault) {
        self.inner.lock().script.always(call, fault);
    }
    /// Asked before each call; takes precedence over all other faults.
    pub fn fail_when(
        &self,
        hook: impl FnMut(StoreCall, &[Change]) -> Option<StoreFault> + Send + 'static,
    ) {
        self.inner.lock().hook = Some(Box::new(hook));
    }
    /// Takes the store down: every call fails at once, and commits are certainly not applied.
    pub fn set_down(&self, down: bool) {
        let outage = || Outage {
            since: jiff::Timestamp::UNIX_EPOCH,
            cause: "no space left on device".into(),
        };
        self.inner.lock().down = down.then(|| Arc::new(outage()));
    }
    /// Ends every requested fault.
    pub fn heal(&self) {
        let mut inner = self.inner.lock();
        inner.script.heal();
        inner.hook = None;
        inner.down = None;
    }
    /// Sets the duration of a renewed lease; 3 s at first.
    pub fn set_lease(&self, lease: Duration) {
        self.inner.lock().lease = Some(lease);
    }
    /// Loses the last batch of a scheduler, as a fail-over of Redis can.
    pub fn lose_last_commit(&self, name: &str) {
        if let Some(row) = self.inner.lock().schedulers.get_mut(name) {
            row.lose_last();
        }
    }

    /// Loses all rooms and operations of a scheduler, as a restart of Redis without its data does.
    pub fn lose_rooms_and_operations(&self, name: &str) {
        if let Some(row) = self.inner.lock().schedulers.get_mut(name) {
            row.lose_rooms_and_operations();
        }
    }

    /// Stores a scheduler with rooms and operations, as if from before.
    pub fn insert(
        &self,
        scheduler: Scheduler,
        rooms: impl IntoIterator<Item = RoomRecord>,
        operations: impl IntoIterator<Item = OperationRecord>,
    ) {
        let name = scheduler.name.clone();
        let changes = std::iter::once(Change::CreateScheduler(Arc::new(scheduler)))
            .chain(rooms.into_iter().map(|r| Change::PutRoom(Box::new(r))))
            .chain(
                operations
                    .into_iter()
                    .map(|o| Change::PutOperation(Box::new(o))),
            );
        let mut inner = self.inner.lock();
        let row = inner.schedulers.entry(name).or_default();
        changes.for_each(|change| row.tables.apply(&change));
    }
    /// Another program puts an operation into the queue.
    pub fn push(&self, operation: OperationRecord) {
        let mut inner = self.inner.lock();
        let scheduler = operation.scheduler.clone();
        let operation = Box::new(operation);
        let row = inner.schedulers.entry(scheduler.clone()).or_default();
        row.tables.apply(&Change::PutOperation(operation.clone()));
        inner.tell(FeedEvent::Pushed {
            scheduler,
            operation,
        });
    }
    /// Another program wants an operation canceled.
    pub fn request_cancel(&self, scheduler: &str, operation: OperationId) {
        self.inner.lock().tell(FeedEvent::CancelRequested {
            scheduler: scheduler.into(),
            operation,
        });
    }

    /// Counts the call, and applies a fault that comes before it.
    async fn enter(&self, call: StoreCall, changes: &[Change]) -> Option<StoreFault> {
        let fault = {
            let mut inner = self.inner.lock();
            inner.threads.insert(this_thread());
            let hooked = inner.hook.as_mut().and_then(|hook| hook(call, changes));
            let scripted = inner.script.take(call);
            if inner.down.is_some() {
                return Some(StoreFault::NotApplied);
            }
            hooked.or(scripted)
        };
        match fault {
            Some(StoreFault::Slow(time)) => tokio::time::sleep(time).await,
            Some(StoreFault::Held(gate)) => gate.pass().await,
            other => return other,
        }
        let is_down = self.inner.lock().down.is_some();
        is_down.then_some(StoreFault::NotApplied)
    }

    /// Enters a call that changes nothing: whatever the fault, it fails or waits.
    async fn ask(&self, call: StoreCall) -> Result<(), StoreError> {
        match self.enter(call, &[]).await {
            None => Ok(()),
            Some(StoreFault::HeldAnswer(gate)) => {
                gate.pass().await;
                Ok(())
            }
            Some(StoreFault::LostAcknowledgement) => std::future::pending().await,
            Some(StoreFault::Unreadable) => Err(StoreError::Corrupt("ordered fault".into())),
            Some(fault) => Err(StoreError::Unavailable(
                format!("ordered fault {fault:?}").into(),
            )),
        }
    }
}

impl Inner {
    fn tell(&mut self, event: FeedEvent) {
        self.feeds.retain(|feed| feed.send(event.clone()).is_ok());
    }

    fn commit(&mut self, fence: &Fence, changes: Arc<[Change]>) -> Result<(), CommitError> {
        let row = self.schedulers.entry(fence.scheduler.clone()).or_default();
        if row.epoch != fence.epoch {
            return Err(CommitError::Fenced { stored: row.epoch });
        }
        if row.seq != fence.previous {
            return Err(CommitError::Behind { stored: row.seq });
        }
        let mut tables = row.tables.clone();
        for change in changes.iter() {
            if matches!(change, Change::CreateScheduler(_)) && tables.scheduler.is_some() {
                return Err(CommitError::AlreadyExists);
            }
            tables.apply(change);
        }
        let found = checks::batch(&row.tables, &tables, fence, &changes);
        row.before = Some((row.seq, std::mem::replace(&mut row.tables, tables)));
        row.seq = fence.seq;
        row.behind = false;
        self.violations.extend(found);
        self.log.push((fence.clone(), changes));
        Ok(())
    }
}

/// Removes the mark of a running commit on drop, even if its caller is gone.
struct UnderWay<'a>(&'a FakeStore, SchedulerName);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.inner.lock().committing.remove(&self.1);
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn commit(&self, fence: Fence, changes: Arc<[Change]>) -> Result<(), CommitError> {
        {
            let mut inner = self.inner.lock();
            if !inner.committing.insert(fence.scheduler.clone()) {
                let text = format!("{}: two commits at one time", fence.scheduler);
                inner.violations.push(text);
            }
        }
        let _under_way = UnderWay(self, fence.scheduler.clone());
        let fault = self.enter(StoreCall::Commit, &changes).await;
        match &fault {
            Some(StoreFault::NotApplied) => {
                return Err(CommitError::NotApplied("ordered fault".into()));
            }
            Some(StoreFault::NotAppliedUnknown) => {
                return Err(CommitError::Unknown("ordered fault".into()));
            }
            Some(StoreFault::Behind) => self.lose_last_commit(fence.scheduler.as_str()),
            _ => {}
        }
        let done = self.inner.lock().commit(&fence, changes);
        match fault {
            Some(StoreFault::AppliedUnknown) => Err(CommitError::Unknown("ordered fault".into())),
            Some(StoreFault::LostAcknowledgement) => std::future::pending().await,
            Some(StoreFault::HeldAnswer(gate)) => {
                gate.pass().await;
                done
            }
            _ => done,
        }
    }

    async fn stored_seq(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
    ) -> Result<Seq, CommitError> {
        let unknown = |error: StoreError| CommitError::NotApplied(error.to_string().into());
        self.ask(StoreCall::StoredSeq).await.map_err(unknown)?;
        let mut inner = self.inner.lock();
        let row = inner.schedulers.entry(scheduler.clone()).or_default();
        if row.epoch != epoch {
            return Err(CommitError::Fenced { stored: row.epoch });
        }
        Ok(row.seq)
    }

    async fn load(&self, owned: &[(SchedulerName, Epoch)]) -> Vec<Result<Loaded, StoreError>> {
        let asked = self.ask(StoreCall::Load).await;
        let inner = self.inner.lock();
        let load = |(name, epoch): &(SchedulerName, Epoch)| {
            asked.clone()?;
            match inner.schedulers.get(name) {
                Some(row) if row.epoch != *epoch => Err(StoreError::Fenced { stored: row.epoch }),
                row => Ok(row.map(loaded).unwrap_or_default()),
            }
        };
        owned.iter().map(load).collect()
    }

    fn outage(&self) -> Option<Arc<Outage>> {
        self.inner.lock().down.clone()
    }
}

impl Feed for FakeStore {
    fn subscribe(&self) -> BoxStream<'static, FeedEvent> {
        let (feed, events) = mpsc::unbounded_channel();
        self.inner.lock().feeds.push(feed);
        Box::pin(UnboundedReceiverStream::new(events))
    }
}
