//! The parts of a node, and the settings of its actors.

use crate::forwarding::Outbox;
use crate::handle::AskTimeouts;
use maestro_core::ports::{
    Clock, Feed, Forwarders, Ownership, PlatformObjects, Reads, Runtime, Store, Unshown,
};
use maestro_core::settings::CoreSettings;
use prometheus::IntCounter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Settings of a node's actors.
#[derive(Clone, Copy, Debug)]
pub struct ActorSettings {
    /// Number of threads for the owners of schedulers (`actors.threads`); the supervisor has one of its own. With 0 all
    /// of them run on the thread of the actix system, where tests can pause tokio's time.
    pub threads: usize,
    /// How long callers wait for an owner.
    pub timeouts: AskTimeouts,
    /// Duration of a lease.
    pub lease_ttl: Duration,
    /// Interval at which leases are renewed.
    pub lease_renewal: Duration,
    /// At shutdown the node waits this long for its owners, and then again for its own tasks
    /// (`workers.stopTimeoutDuration`). Writers get seconds for their last attempt; only an actor stuck in a turn takes
    /// longer.
    pub stop_within: Duration,
    /// Whether the metrics of this node include what the module `metrics-reporter` reports of all fleets.
    pub reports_fleets: bool,
}

/// One per processor, but at least two, so that a blocked thread leaves another one.
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
            reports_fleets: true,
        }
    }
}

/// The parts of a node: ports, settings, and the I/O runtime on which all of their clients run (on an Arbiter's runtime
/// they would end with the Arbiter).
#[derive(Clone)]
pub struct NodeParts {
    /// The store that owners write to.
    pub store: Arc<dyn Store>,
    /// Reads that bypass the owners.
    pub reads: Arc<dyn Reads>,
    /// Leases on schedulers.
    pub ownership: Arc<dyn Ownership>,
    /// Changes made by other nodes.
    pub feed: Arc<dyn Feed>,
    /// The runtime that runs the rooms.
    pub runtime: Arc<dyn Runtime>,
    /// Shows runtimes and versions where their rooms run; [`Unshown`] unless it is replaced.
    pub platform: Arc<dyn PlatformObjects>,
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// Settings of the state machines.
    pub core: Arc<CoreSettings>,
    /// Settings of the actors.
    pub settings: ActorSettings,
    /// Counts creations that were refused because the name is taken. The original notices this when its insert fails,
    /// so its dashboards look for it among the failures of the store (contract 15.27); here the owner refuses before
    /// the store is asked.
    pub duplicate_creates: Option<IntCounter>,
    /// The tokio runtime for all I/O.
    pub io: tokio::runtime::Handle,
    /// Short tasks of the supervisor, and reads; awaited at shutdown.
    pub(crate) tasks: TaskTracker,
    /// Events on their way to the forwarders; outlives the owners.
    pub(crate) outbox: Outbox,
    /// The remaining tasks of owners that have ended.
    pub(crate) retiring: TaskTracker,
    /// Wakes the survey of schedulers and owners.
    pub(crate) look_again: Arc<Notify>,
    /// Canceled at shutdown: factories give up.
    pub(crate) going_down: CancellationToken,
}

impl NodeParts {
    /// `store` implements all four ports of a store.
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
            platform: Arc::new(Unshown),
            clock,
            core: Arc::new(core),
            settings,
            duplicate_creates: None,
            outbox: Outbox::new(forwarders, io.clone()),
            io,
            tasks: TaskTracker::new(),
            retiring: TaskTracker::new(),
            look_again: Arc::default(),
            going_down: CancellationToken::new(),
        }
    }
}
