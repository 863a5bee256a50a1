//! All tasks of one owner of one scheduler: begun here, awaited here, none outlives it.

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The background tasks of an owner, and what ending means for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Makes batches durable. Ends when its queue is closed and empty; never canceled in a write, unless its owner's
    /// thread stands still: the queue would never close, and the next owner's load finds out what was written.
    Writer,
    /// A call on the runtime. Canceled at once; its outcome is unknown and settled at the next load.
    Work,
    /// Hands the runtime's events to the actor. Canceled at once; the next watch begins with a list.
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
            Task::Writer => drop(self.writers.spawn_on(work, &self.io)),
            Task::Work | Task::Watch => {
                let cancel = self.cancel.clone();
                let work = async move {
                    tokio::select! {
                        // What is canceled before it began does not begin.
                        biased;
                        () = cancel.cancelled() => {}
                        () = work => {}
                    }
                };
                drop(self.others.spawn_on(work, &self.io));
            }
        }
    }

    /// Cancels what may be canceled and waits for all of it. The writer's queue has to be
    /// closed by then (its sender lives in the actor, which is gone).
    pub async fn end(&self) {
        self.cancel.cancel();
        self.writers.close();
        // First the writer, whose last batches may still order work.
        self.writers.wait().await;
        self.others.close();
        self.others.wait().await;
    }

    /// The owner will not go away: its thread stands still. To be followed by [`Self::end`].
    pub fn abandon(&self) {
        self.abandoned.cancel();
    }
    /// Told to the writer, see [`Self::abandon`].
    pub fn abandoned(&self) -> CancellationToken {
        self.abandoned.clone()
    }

    /// Told to the writer: nobody is interested any more, so do not retry for ever.
    pub fn ending(&self) -> CancellationToken {
        self.cancel.clone()
    }
}
