//! The store: what survives. Written only by the owner of a scheduler, read by anyone.

use super::Cause;
use crate::domain::*;
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use jiff::Timestamp;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Who writes, and where in the order of its writes. A store applies a batch only when
/// the scheduler's stored epoch is `epoch` and its stored seq is `previous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    pub scheduler: SchedulerName,
    pub epoch: Epoch,
    pub previous: Seq,
    pub seq: Seq,
}

/// One durable change. All of a batch are applied, or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Inserts the scheduler's row and its first version. [`CommitError::AlreadyExists`] when it is there.
    CreateScheduler(Arc<Scheduler>),
    /// Overwrites the active document; `created_at` of the row stays (contract 8.1).
    UpdateScheduler(Arc<Scheduler>),
    /// A version's document; one that exists is left as it is (contract 8.1).
    CreateVersion {
        scheduler: Arc<Scheduler>,
        created_at: Timestamp,
    },
    /// Overwrites the document of a version that is stored; when that came stays (D32).
    UpdateVersion(Arc<Scheduler>),
    /// Row, versions, rooms and all operations but `keep`.
    DeleteScheduler {
        keep: OperationId,
    },
    PutRoom(Box<RoomRecord>),
    DeleteRoom(RoomId),
    /// Steady pings, coalesced; rooms that are gone are passed over.
    TouchRooms(Vec<RoomTouch>),
    /// A version's document goes; the active one never does.
    DeleteVersion(SchedulerVersion),
    /// What an operator decided about the rollout under way.
    PutOperator(OperatorRecord),
    PutOperation(Box<OperationRecord>),
    RenewOperationLease {
        operation: OperationId,
        until: Timestamp,
    },
    DeleteOperations(Vec<OperationId>),
}

/// Why a commit did not succeed, by what the writer may do about it (architecture 5, Order).
#[derive(Debug, Clone)]
pub enum CommitError {
    /// Certainly not applied: the same batch may be sent again.
    NotApplied(Cause),
    /// May have been applied: read [`Store::stored_seq`] before anything else.
    Unknown(Cause),
    /// Another owner has the scheduler.
    Fenced { stored: Epoch },
    /// The stored seq is not the previous one: the store lost something, or got it twice.
    Behind { stored: Seq },
    /// [`Change::CreateScheduler`] of a name that exists. Not applied.
    AlreadyExists,
}

// By hand, as with `StoreError`: a derived source would be the cause, whose words are in the message already.
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

/// A read, or a take-over, that failed.
#[derive(Debug, Clone)]
pub enum StoreError {
    /// Passing: the store is away, slow or full. The text says what to do.
    Unavailable(Cause),
    /// A stored document cannot be read.
    Corrupt(Cause),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) => write!(f, "the store cannot be used now: {cause}"),
            Self::Corrupt(cause) => write!(f, "a stored document cannot be read: {cause}"),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (Self::Unavailable(cause) | Self::Corrupt(cause)) = self;
        cause.source()
    }
}

/// A store that takes no changes now: a full disk, a failing one, a database that is away.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outage {
    pub since: Timestamp,
    /// As the system says it, such as `no space left on device`.
    pub cause: String,
}

impl Outage {
    /// What a caller is told whose change is refused for it.
    pub fn refusal(&self) -> StoreError {
        let text = format!(
            "{}; nothing is changed until that is mended, then try again",
            self.cause
        );
        StoreError::Unavailable(text.into())
    }
}

/// What the retention of ended operations has to know of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedOperation {
    pub id: OperationId,
    pub ended_at: Timestamp,
    /// Finished without having done anything: not part of the history (contract 5.11).
    pub no_action: bool,
    /// Kept for a limited time only (contract 5.11).
    pub periodic: bool,
}

impl EndedOperation {
    /// Of a record that has ended.
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

/// What an operator decided about a scheduler, beside its document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct OperatorRecord {
    /// No room is replaced until the rollout is resumed.
    #[serde(alias = "paused")]
    pub rollout_paused: bool,
    /// Stands still, or moves although `settings.paused` holds all. `None`: as the settings say.
    pub held: Option<bool>,
}

/// Everything an owner needs to go on with a scheduler.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// `None`: no such scheduler (leftover operations may still be there).
    pub scheduler: Option<Arc<Scheduler>>,
    /// Every stored version, any order.
    pub versions: Vec<Arc<Scheduler>>,
    pub rooms: Vec<RoomRecord>,
    /// Operations that have not ended, in the order of their queue.
    pub operations: Vec<OperationRecord>,
    /// Those that have ended and are still kept, oldest first.
    pub ended: Vec<EndedOperation>,
    pub operator: OperatorRecord,
    pub seq: Seq,
}

/// The owner's side of the store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Applies all `changes` or none. Durable when it returns `Ok`. They are shared, because a writer keeps them for
    /// another try.
    async fn commit(&self, fence: Fence, changes: Arc<[Change]>) -> Result<(), CommitError>;
    /// The seq of the last batch applied for `scheduler` by `epoch`.
    async fn stored_seq(&self, scheduler: &SchedulerName, epoch: Epoch)
    -> Result<Seq, CommitError>;
    async fn load(&self, scheduler: &SchedulerName) -> Result<Loaded, StoreError>;
    /// `Some` from the first change that failed until the next one that succeeded. The store finds out by itself when
    /// it is over. Asked for each change before it is decided, because a decision is not undone: so it is answered from
    /// memory, and never waits.
    fn outage(&self) -> Option<Arc<Outage>>;
}

/// Exact matches, ANDed; empty means any (contract 2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulerFilter {
    pub name: String,
    pub game: String,
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    pub version: SchedulerVersion,
    pub created_at: Timestamp,
}

/// Which operations a listing shows (contract 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Pending,
    Active,
    /// A window of the history, ordered by when operations ended. Finished operations
    /// that took no action are not in it.
    Final {
        offset: u64,
        limit: u64,
        ascending: bool,
    },
}

#[derive(Clone, Debug, Default)]
pub struct OperationPage {
    /// Size of the whole history for `Final`, number of items otherwise.
    pub total: u64,
    pub operations: Vec<Arc<OperationRecord>>,
}

/// Rooms of one scheduler by status; index with `RoomStatus as usize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomCounts(pub [u64; 9]);

impl RoomCounts {
    pub fn of(&self, status: RoomStatus) -> u64 {
        self.0[status as usize]
    }
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Plain reads, on any node, with or without an owner.
#[async_trait]
pub trait Reads: Send + Sync + 'static {
    /// Active schedulers, by name.
    async fn schedulers(&self, filter: &SchedulerFilter)
    -> Result<Vec<Arc<Scheduler>>, StoreError>;
    async fn scheduler(&self, name: &str) -> Result<Option<Arc<Scheduler>>, StoreError>;
    async fn scheduler_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Arc<Scheduler>>, StoreError>;
    /// Newest first; empty when there is no such scheduler.
    async fn versions(&self, name: &str) -> Result<Vec<VersionRow>, StoreError>;
    async fn operations(&self, scheduler: &str, stage: Stage) -> Result<OperationPage, StoreError>;
    async fn operation(
        &self,
        scheduler: &str,
        id: OperationId,
    ) -> Result<Option<Arc<OperationRecord>>, StoreError>;
    async fn room_counts(&self, scheduler: &str) -> Result<RoomCounts, StoreError>;
    /// For readiness: can it be used now?
    async fn check(&self) -> Result<(), StoreError>;
}

/// What other programs put into the store behind our back.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedEvent {
    /// An operation was pushed for this scheduler; load it.
    Pushed {
        scheduler: SchedulerName,
        operation: Box<OperationRecord>,
    },
    CancelRequested {
        scheduler: SchedulerName,
        operation: OperationId,
    },
}

/// Foreign pushes and cancels. A store that nobody else can write (the embedded
/// one) has a feed that never says anything.
pub trait Feed: Send + Sync + 'static {
    fn subscribe(&self) -> BoxStream<'static, FeedEvent>;
}
