//! The store: durable state, written only by the owner of a scheduler, and read by anyone.

use super::Cause;
use crate::domain::*;
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use jiff::Timestamp;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Identifies the writer and the position in the order of its writes. A store applies a batch only if the scheduler's
/// stored epoch is `epoch` and its stored seq is `previous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The scheduler whose rows are written.
    pub scheduler: SchedulerName,
    /// The writer's epoch, from [`Claim::Owned`](super::Claim::Owned).
    pub epoch: Epoch,
    /// The seq of the batch before.
    pub previous: Seq,
    /// The seq of this batch; stored together with its changes.
    pub seq: Seq,
}

/// One durable change. All changes of a batch are applied, or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Inserts the scheduler's row and its first version. [`CommitError::AlreadyExists`] if there is one.
    CreateScheduler(Arc<Scheduler>),
    /// Overwrites the active document; `created_at` of the row stays (contract 8.1). Inserts the row if there is none:
    /// a store that lost it gets it back.
    UpdateScheduler(Arc<Scheduler>),
    /// Stores a version's document; an existing one is not overwritten (contract 8.1).
    CreateVersion {
        /// The version's document.
        scheduler: Arc<Scheduler>,
        /// When the version was made, as listings show it.
        created_at: Timestamp,
    },
    /// Overwrites the document of a stored version; its creation time stays (D32).
    UpdateVersion(Arc<Scheduler>),
    /// Deletes the row, versions, rooms, the runtime and all operations except `keep`.
    DeleteScheduler {
        /// The deletion itself, which clients read after the scheduler is gone.
        keep: OperationId,
    },
    /// Deletes all rooms and all operations that have not ended. A snapshot of them follows in the same batch: that is
    /// how an owner repairs a store that lost changes ([`CommitError::Behind`]).
    Clear,
    /// Inserts a room, or overwrites it.
    PutRoom(Box<RoomRecord>),
    /// Deletes a room; one that does not exist is ignored.
    DeleteRoom(RoomId),
    /// Coalesced steady pings; rooms that are gone are ignored.
    TouchRooms(Vec<RoomTouch>),
    /// Deletes a version's document and its state; the active version is never deleted.
    DeleteVersion(SchedulerVersion),
    /// Stores the state of a version of a managed scheduler. It goes with the version's document, or with the
    /// scheduler.
    PutLiveVersion(Box<LiveVersion>),
    /// Stores a runtime, also under a name that has no scheduler. It goes with the scheduler.
    PutRuntime(Box<RuntimeRecord>),
    /// Stores an operator's decisions about the rollout or the queues.
    PutOperator(OperatorRecord),
    /// Inserts an operation, or overwrites it.
    PutOperation(Box<OperationRecord>),
    /// Moves the end of a running operation's lease (contract 5.9); ignored once it has ended.
    RenewOperationLease {
        /// The running operation.
        operation: OperationId,
        /// The new end of the lease.
        until: Timestamp,
    },
    /// Deletes ended operations whose retention is over; missing ones are ignored.
    DeleteOperations(Vec<OperationId>),
}

/// Why a commit failed, by what the writer may do about it (architecture 5, Order).
#[derive(Debug, Clone)]
pub enum CommitError {
    /// Certainly not applied: the same batch may be committed again.
    NotApplied(Cause),
    /// May have been applied: [`Store::stored_seq`] must be read before anything else.
    Unknown(Cause),
    /// The scheduler has another owner.
    Fenced {
        /// The epoch in the store.
        stored: Epoch,
    },
    /// The stored seq is not the expected one. A lower one says that the store lost changes; the next batch must then
    /// name it as its previous, and contain [`Change::Clear`] and a snapshot. A store that lost the epoch too, or has a
    /// lower one, is behind at the seq that it has.
    Behind {
        /// The seq in the store.
        stored: Seq,
    },
    /// [`Change::CreateScheduler`] under a name that exists. Not applied.
    AlreadyExists,
}

// Implemented by hand, as for `StoreError`: a derived source would be the cause, whose text is in the message already.
impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotApplied(cause) => write!(f, "the store did not take the change: {cause}"),
            Self::Unknown(cause) => write!(f, "the outcome of the change is unknown: {cause}"),
            Self::Fenced { stored } => {
                write!(f, "the scheduler has another owner (epoch {stored:?})")
            }
            Self::Behind { stored } => {
                write!(f, "the store is at {stored:?}, not at the previous change")
            }
            Self::AlreadyExists => f.write_str("name already exists"),
        }
    }
}

impl Error for CommitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotApplied(cause) | Self::Unknown(cause) => cause.source(),
            Self::Fenced { .. } | Self::Behind { .. } | Self::AlreadyExists => None,
        }
    }
}

/// A read or a take-over failed.
#[derive(Debug, Clone)]
pub enum StoreError {
    /// Transient: the store is unreachable, slow or full. The text says what to do.
    Unavailable(Cause),
    /// A stored document cannot be parsed.
    Corrupt(Cause),
    /// Only when loading: the scheduler has another owner by now.
    Fenced {
        /// The epoch in the store.
        stored: Epoch,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) => write!(f, "the store cannot be used now: {cause}"),
            Self::Corrupt(cause) => write!(f, "a stored document cannot be read: {cause}"),
            Self::Fenced { stored } => {
                write!(f, "the scheduler has another owner (epoch {stored:?})")
            }
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(cause) | Self::Corrupt(cause) => cause.source(),
            Self::Fenced { .. } => None,
        }
    }
}

/// A store that takes no changes now: its disk is full or failing, or its database is unreachable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outage {
    /// When the first change failed.
    pub since: Timestamp,
    /// The system's own words, such as `no space left on device`.
    pub cause: String,
}

impl Outage {
    /// The error for a caller whose change is refused because of the outage.
    pub fn refusal(&self) -> StoreError {
        let text = format!(
            "{}; nothing is changed until that is mended, then try again",
            self.cause
        );
        StoreError::Unavailable(text.into())
    }
}

/// The part of an ended operation that retention needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedOperation {
    /// Its id.
    pub id: OperationId,
    /// When it got its final status; retention counts from here.
    pub ended_at: Timestamp,
    /// Finished without having done anything, and therefore not part of the history (contract 5.11).
    pub no_action: bool,
    /// Kept only for a limited time (contract 5.11).
    pub periodic: bool,
}

impl EndedOperation {
    /// The entry for a record that has ended.
    pub fn of(record: &OperationRecord) -> Self {
        Self {
            id: record.id,
            ended_at: record.status_at,
            no_action: record.status == OperationStatus::Finished
                && record.definition.is_no_action(),
            periodic: record.definition.is_periodic(),
        }
    }
}

/// An operator's decisions about a scheduler, in addition to its document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct OperatorRecord {
    /// No room is replaced until the rollout is resumed.
    #[serde(alias = "paused")]
    pub rollout_paused: bool,
    /// `Some(true)` pauses the queues, `Some(false)` runs them even if `settings.paused` is set. `None`: as the
    /// settings say.
    pub held: Option<bool>,
    /// Its versions are started, stopped and published one by one (architecture 6, Live versions). Never taken back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub managed: bool,
}

/// Everything an owner needs to continue a scheduler.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// `None` if there is no such scheduler (operations may remain).
    pub scheduler: Option<Arc<Scheduler>>,
    /// All stored versions, in any order.
    pub versions: Vec<Arc<Scheduler>>,
    /// Every stored room, in any order.
    pub rooms: Vec<RoomRecord>,
    /// Operations that have not ended, in the order of their queue.
    pub operations: Vec<OperationRecord>,
    /// Ended operations that are still kept, oldest first.
    pub ended: Vec<EndedOperation>,
    /// The states of versions, in any order.
    pub live: Vec<LiveVersion>,
    /// The runtime that was created by itself, if one was; there may be no scheduler yet.
    pub runtime: Option<RuntimeRecord>,
    /// The operator's decisions; the default if there are none.
    pub operator: OperatorRecord,
    /// The last batch that was stored; the next one must name it as its previous.
    pub seq: Seq,
    /// The store lost its last changes, or everything, of `rooms`, `operations` and `ended`: a part of it was restarted
    /// without its data, or failed over. What is missing is only known to the runtime.
    pub behind: bool,
}

/// The owner's side of the store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Applies all `changes` or none; they are durable when it returns `Ok`. They are shared, because a writer keeps
    /// them for another attempt.
    async fn commit(&self, fence: Fence, changes: Arc<[Change]>) -> Result<(), CommitError>;
    /// The seq of the last batch applied for `scheduler` by `epoch`.
    async fn stored_seq(&self, scheduler: &SchedulerName, epoch: Epoch)
    -> Result<Seq, CommitError>;
    /// Everything about schedulers that were acquired at these epochs: one result per scheduler, in order. An earlier
    /// owner's writes are refused before anything is read, so that none lands in between. A name without a scheduler is
    /// not an error, see [`Loaded::scheduler`].
    ///
    /// # Errors
    /// If the store cannot be read, contains documents that cannot be, or the scheduler has been taken over again.
    async fn load(&self, owned: &[(SchedulerName, Epoch)]) -> Vec<Result<Loaded, StoreError>>;
    /// `Some` from the first change that failed to the next one that succeeded; the store itself notices the end. It is
    /// asked before each decision that changes something, because decisions cannot be undone, so it must answer from
    /// memory and without waiting.
    fn outage(&self) -> Option<Arc<Outage>>;
}

/// Exact matches, combined with AND; an empty field matches anything (contract 2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulerFilter {
    /// Name of the scheduler.
    pub name: String,
    /// Game of the scheduler.
    pub game: String,
    /// Active version of the scheduler.
    pub version: String,
}

/// A stored version of a scheduler, in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The version itself.
    pub version: SchedulerVersion,
    /// When the version was made; later changes of its document do not move it (D32).
    pub created_at: Timestamp,
}

/// The stage of the operations that a listing shows (contract 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting in a queue, in the order in which they will run.
    Pending,
    /// Running now.
    Active,
    /// A page of the history, ordered by the time at which operations ended. Finished operations that took no action
    /// are not part of it.
    Final {
        /// How many operations to skip.
        offset: u64,
        /// Maximum number of operations to return.
        limit: u64,
        /// Oldest first instead of newest first.
        ascending: bool,
    },
}

/// A page of a scheduler's operations.
#[derive(Clone, Debug, Default)]
pub struct OperationPage {
    /// For `Final` the size of the whole history, otherwise the number of items.
    pub total: u64,
    /// The operations of this page, in the order of the [`Stage`].
    pub operations: Vec<Arc<OperationRecord>>,
}

/// Rooms of one scheduler by status; index with `RoomStatus as usize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomCounts(pub [u64; 9]);

impl RoomCounts {
    /// Number of rooms in this status.
    pub fn of(&self, status: RoomStatus) -> u64 {
        self.0[status as usize]
    }
    /// Number of rooms in any status.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Plain reads, on any node, with or without an owner.
#[async_trait]
pub trait Reads: Send + Sync + 'static {
    /// Active schedulers, ordered by name.
    async fn schedulers(&self, filter: &SchedulerFilter)
    -> Result<Vec<Arc<Scheduler>>, StoreError>;
    /// The active version of a scheduler; `None` if there is no such scheduler.
    async fn scheduler(&self, name: &str) -> Result<Option<Arc<Scheduler>>, StoreError>;
    /// One version of a scheduler; `None` if there is no such scheduler or version.
    async fn scheduler_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Arc<Scheduler>>, StoreError>;
    /// Newest first; empty if there is no such scheduler.
    async fn versions(&self, name: &str) -> Result<Vec<VersionRow>, StoreError>;
    /// A page of the scheduler's operations; empty if there is no such scheduler.
    async fn operations(&self, scheduler: &str, stage: Stage) -> Result<OperationPage, StoreError>;
    /// One operation, open or ended; `None` if the scheduler has none of this id.
    async fn operation(
        &self,
        scheduler: &str,
        id: OperationId,
    ) -> Result<Option<Arc<OperationRecord>>, StoreError>;
    /// Each scheduler's rooms by status, as stored and in this order; zeros if there is no such scheduler,
    /// or if its own cannot be read.
    async fn room_counts(&self, schedulers: &[&str]) -> Result<Vec<RoomCounts>, StoreError>;
    /// The address that is stored of a room, which may be one that no owner knows, because another program wrote it or
    /// its scheduler is gone (contract 8.2). `None` if there is no such room; `Some(None)` if it has no address.
    async fn room_address(
        &self,
        scheduler: &str,
        room: &str,
    ) -> Result<Option<Option<Address>>, StoreError>;
    /// Checks that the store is usable now, for readiness.
    async fn check(&self) -> Result<(), StoreError>;
}

/// What other programs put into the store.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedEvent {
    /// An operation was pushed for this scheduler.
    Pushed {
        /// The scheduler whose queue it was put into.
        scheduler: SchedulerName,
        /// The operation as the other program wrote it.
        operation: Box<OperationRecord>,
    },
    /// Another program asks for the cancelation of an operation (contract 5.10).
    CancelRequested {
        /// The scheduler that the operation belongs to.
        scheduler: SchedulerName,
        /// The operation to cancel.
        operation: OperationId,
    },
}

/// Pushed operations and cancelations of other programs. A store that nobody else can write (the embedded one) has a
/// feed without events.
pub trait Feed: Send + Sync + 'static {
    /// A stream of the events from now on.
    fn subscribe(&self) -> BoxStream<'static, FeedEvent>;
}
