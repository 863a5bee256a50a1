//! What a node is made of, and how its actors behave.

use crate::forwarding::Outbox;
use crate::handle::AskTimeouts;
use maestro_core::ports::{Clock, Feed, Forwarders, Ownership, Reads, Runtime, Store};
use maestro_core::settings::CoreSettings;
use prometheus::IntCounter;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How the actors of a node behave.
#[derive(Clone, Copy, Debug)]
pub struct ActorSettings {
    /// Threads over which the schedulers are spread (`actors.threads`); the supervisor has one of its own. With 0 all
    /// of them live on the thread of the actix system: tokio's time can be paused there, which tests do.
    pub threads: usize,
    /// How long callers wait for an owner.
    pub timeouts: AskTimeouts,
    /// How long a lease lasts, and how often it is renewed.
    pub lease_ttl: Duration,
    /// See [`Self::lease_ttl`].
    pub lease_renewal: Duration,
    /// The end of a node waits this long for its owners, and then for its own tasks
    /// (`workers.stopTimeoutDuration`). Writers get seconds for their last try; only an actor
    /// that is stuck in a turn takes longer.
    pub stop_within: Duration,
}

/// One per processor, and two where there is one: a thread that stands still leaves another.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

impl Default for ActorSettings {
    fn default() -> Self {
        Self {
            threads: default_threads(),
            timeouts: AskTimeouts::default(),
            lease_ttl: Duration::from_secs(3),
            lease_renewal: Duration::from_secs(1),
            stop_within: Duration::from_secs(15),
        }
    }
}

/// What a node is made of: the ports, the settings, and the I/O runtime on which all of
/// their clients live (they would die with an Arbiter).
#[derive(Clone)]
pub struct NodeParts {
    /// Where owners write.
    pub store: Arc<dyn Store>,
    /// Reads past the owners.
    pub reads: Arc<dyn Reads>,
    /// Who owns which scheduler.
    pub ownership: Arc<dyn Ownership>,
    /// What other nodes change.
    pub feed: Arc<dyn Feed>,
    /// Where rooms live.
    pub runtime: Arc<dyn Runtime>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// How the state machines behave.
    pub core: Arc<CoreSettings>,
    /// How the actors behave.
    pub settings: ActorSettings,
    /// Counts refused creations under names that are taken, where somebody wants to know. The original finds out by
    /// failing to insert them, so its dashboards look among the failures of the store (contract 15.27); here the owner
    /// knows before any store is asked.
    pub duplicate_creates: Option<IntCounter>,
    /// The runtime of all I/O.
    pub io: tokio::runtime::Handle,
    /// Short tasks of the supervisor, and reads; awaited when the node shuts down.
    pub(crate) tasks: TaskTracker,
    /// What is on its way to the forwarders; outlives the owners.
    pub(crate) outbox: Outbox,
    /// The tasks of owners that have ended.
    pub(crate) retiring: TaskTracker,
    /// The node goes down: factories give up.
    pub(crate) going_down: CancellationToken,
}

impl NodeParts {
    /// `store` serves all four ports of a store.
    pub fn new<S>(
        store: Arc<S>,
        runtime: Arc<dyn Runtime>,
        forwarders: Arc<dyn Forwarders>,
        clock: Arc<dyn Clock>,
        core: CoreSettings,
        settings: ActorSettings,
        io: tokio::runtime::Handle,
    ) -> Self
    where
        S: Store + Reads + Ownership + Feed,
    {
        Self {
            reads: store.clone(),
            ownership: store.clone(),
            feed: store.clone(),
            store,
            runtime,
            clock,
            core: Arc::new(core),
            settings,
            duplicate_creates: None,
            outbox: Outbox::new(forwarders, io.clone()),
            io,
            tasks: TaskTracker::new(),
            retiring: TaskTracker::new(),
            going_down: CancellationToken::new(),
        }
    }
}
