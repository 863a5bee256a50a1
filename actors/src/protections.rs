//! Which orders to protect rooms have succeeded, for the answers that wait for one.

use maestro_core::state::WorkId;
use std::sync::Arc;
use tokio::sync::watch;

/// The orders of one owner, of which there is one at a time: a later one includes what an earlier one left undone.
#[derive(Clone)]
pub(crate) struct Protections(Arc<watch::Sender<WorkId>>);

impl Default for Protections {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(WorkId(0))))
    }
}

impl Protections {
    pub fn succeeded(&self, order: WorkId) {
        self.0.send_if_modified(|last| {
            let is_later = order > *last;
            *last = order.max(*last);
            is_later
        });
    }

    /// Whether this order, or a later one, has succeeded.
    pub fn include(&self, order: WorkId) -> bool {
        *self.0.borrow() >= order
    }

    /// Returns once it has.
    pub async fn reach(&self, order: WorkId) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|last| *last >= order).await;
    }
}
