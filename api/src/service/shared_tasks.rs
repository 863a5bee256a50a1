//! One task for each thing that is watched, however many watch it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{ApiResult, Code, Status};

/// What a task and those who watch the same thing have in common.
pub trait Common: Default + Send + Sync + 'static {
    /// Why the task ended although somebody watched.
    type End: Send;

    /// The task has ended by itself. Whoever joins from now on gets another one.
    fn ended(&self, end: Self::End);
}

/// The tasks of a node for one kind of watch.
pub struct SharedTasks<K, C> {
    /// Plural, such as "watches of rooms".
    what: &'static str,
    io: Handle,
    open: Mutex<HashMap<K, Arc<Entry<C>>>>,
    most: usize,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Entry<C> {
    common: Arc<C>,
    shares: Mutex<usize>,
    stop: CancellationToken,
}

/// The membership of a watcher. Dropping the last one ends the task.
pub struct Share<K: Eq + Hash, C> {
    tasks: Arc<SharedTasks<K, C>>,
    key: K,
    entry: Arc<Entry<C>>,
    _place: OwnedSemaphorePermit,
}

impl<K, C> SharedTasks<K, C>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    C: Common,
{
    /// For at most `most` watchers.
    pub fn new(what: &'static str, most: usize, io: Handle) -> Arc<Self> {
        Arc::new(Self {
            what,
            io,
            open: Mutex::default(),
            most,
            places: Arc::new(Semaphore::new(most)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Adds a watcher, and begins with `task` if it is the first.
    pub fn join<F>(
        self: &Arc<Self>,
        key: K,
        task: impl FnOnce(Arc<C>) -> F,
    ) -> ApiResult<Share<K, C>>
    where
        F: Future<Output = C::End> + Send + 'static,
    {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            let (most, what) = (self.most, self.what);
            let text = format!("this node has {most} {what}: end one of them, or ask another node");
            Status::new(Code::ResourceExhausted, text)
        })?;
        if self.stop.is_cancelled() {
            return Err(shutting_down());
        }
        let mut open = self.open.lock();
        let entry = open.entry(key.clone()).or_insert_with(|| {
            let entry = Arc::new(Entry::<C> {
                common: Arc::default(),
                shares: Mutex::default(),
                stop: self.stop.child_token(),
            });
            let running = task(entry.common.clone());
            let running = self.clone().run(key.clone(), entry.clone(), running);
            self.tasks.spawn_on(running, &self.io);
            entry
        });
        *entry.shares.lock() += 1;
        let entry = entry.clone();
        drop(open);
        Ok(Share {
            tasks: self.clone(),
            key,
            entry,
            _place: place,
        })
    }

    async fn run(
        self: Arc<Self>,
        key: K,
        entry: Arc<Entry<C>>,
        task: impl Future<Output = C::End>,
    ) {
        // A question under way is dropped, which cancels it.
        if let Some(end) = entry.stop.run_until_cancelled(task).await {
            remove(&mut self.open.lock(), &key, &entry);
            entry.common.ended(end);
        }
    }

    /// Ends all watches and their tasks.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Tasks that have not ended.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.tasks.len()
    }
}

fn remove<K: Eq + Hash, C>(open: &mut HashMap<K, Arc<Entry<C>>>, key: &K, entry: &Arc<Entry<C>>) {
    // Another one may have begun under this key.
    if open.get(key).is_some_and(|of| Arc::ptr_eq(of, entry)) {
        open.remove(key);
    }
}

fn shutting_down() -> Status {
    Status::unavailable("this node is shutting down: watch on another one")
}

impl<K: Eq + Hash, C> Share<K, C> {
    pub fn common(&self) -> &C {
        &self.entry.common
    }

    /// Completes when the node shuts down.
    pub async fn ended(&self) -> Status {
        self.tasks.stop.cancelled().await;
        shutting_down()
    }
}

impl<K: Eq + Hash, C> Drop for Share<K, C> {
    fn drop(&mut self) {
        let mut open = self.tasks.open.lock();
        let mut shares = self.entry.shares.lock();
        *shares -= 1;
        if *shares == 0 {
            remove(&mut open, &self.key, &self.entry);
            self.entry.stop.cancel();
        }
    }
}
