//! A gate where calls wait until a test releases them.

use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Closed at first. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    passes: Semaphore,
    waiting: watch::Sender<usize>,
}

impl Gate {
    pub fn closed() -> Self {
        Self(Arc::new(Inner {
            passes: Semaphore::new(0),
            waiting: watch::Sender::new(0),
        }))
    }
    /// Lets one call through: a waiting one, or the next.
    pub fn let_one_pass(&self) {
        self.0.passes.add_permits(1);
    }
    /// Lets all calls through from now on.
    pub fn open(&self) {
        self.0.passes.close();
    }
    /// The number of calls that wait now.
    pub fn waiting(&self) -> usize {
        *self.0.waiting.borrow()
    }
    /// Returns once at least `count` wait.
    pub async fn reached_by(&self, count: usize) {
        let mut waiting = self.0.waiting.subscribe();
        // The sender lives as long as the gate.
        let _ = waiting.wait_for(|now| *now >= count).await;
    }

    /// Waits to be let through.
    pub async fn pass(&self) {
        let _counted = Counted::new(self);
        if let Ok(pass) = self.0.passes.acquire().await {
            pass.forget();
        }
    }
}

/// A waiting call; dropped when it gives up.
struct Counted<'a>(&'a Gate);

impl<'a> Counted<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.0.waiting.send_modify(|count| *count += 1);
        Self(gate)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.waiting.send_modify(|count| *count -= 1);
    }
}
