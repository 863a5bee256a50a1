//! All tasks of a scheduler's owner: started here, awaited here; none outlives the owner.

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The background tasks of an owner, and how each is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Makes batches durable. Ends when its queue is closed and empty. A write is never canceled, unless the owner's
    /// thread is blocked: then the queue would never close, and the next owner finds out what was written when it
    /// loads.
    Writer,
    /// An answer that waits for the protection of its room. It goes out when the owner ends.
    Reply,
    /// A call on the runtime. Canceled at once; its outcome is unknown and settled at the next load.
    Work,
    /// Passes the runtime's events to the actor. Canceled at once; the next watch begins with a list.
    Watch,
}

#[derive(Clone)]
pub(crate) struct Scope {
    io: Handle,
    writers: TaskTracker,
    others: TaskTracker,
    cancel: CancellationToken,
    abandoned: CancellationToken,
}

impl Scope {
    pub fn new(io: Handle) -> Self {
        Self {
            io,
            writers: TaskTracker::new(),
            others: TaskTracker::new(),
            cancel: CancellationToken::new(),
            abandoned: CancellationToken::new(),
        }
    }

    pub fn spawn(&self, task: Task, work: impl Future<Output = ()> + Send + 'static) {
        match task {
            Task::Writer | Task::Reply => drop(self.writers.spawn_on(work, &self.io)),
            Task::Work | Task::Watch => {
                let cancel = self.cancel.clone();
                let work = async move {
                    tokio::select! {
                        // A task that is canceled before it has begun must not begin.
                        biased;
                        () = cancel.cancelled() => {}
                        () = work => {}
                    }
                };
                drop(self.others.spawn_on(work, &self.io));
            }
        }
    }

    /// Cancels what may be canceled and waits for all tasks. The writer's queue must be closed by then (its sender is
    /// owned by the actor, which has ended).
    pub async fn end(&self) {
        self.cancel.cancel();
        self.writers.close();
        // The writer first, because its last batches may still start work.
        self.writers.wait().await;
        self.others.close();
        self.others.wait().await;
    }

    /// Gives up an owner that cannot end because its thread is blocked. [`Self::end`] must follow.
    pub fn abandon(&self) {
        self.abandoned.cancel();
    }
    /// Canceled by [`Self::abandon`]; observed by the writer.
    pub fn abandoned(&self) -> CancellationToken {
        self.abandoned.clone()
    }

    /// Canceled when the owner ends; the writer then stops retrying.
    pub fn ending(&self) -> CancellationToken {
        self.cancel.clone()
    }
}
