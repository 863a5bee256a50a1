//! Events that wait for no change of their own, but go behind those before them that do.

use super::Outbox;
use crate::cause::Cause;
use crate::group::Outgoing;
use crate::writer::{Batch, Order, WriterGauge};
use maestro_core::ports::Forwarding;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Steady pings that may wait behind a slow store to be forwarded; more are not forwarded.
const WAITING_MAX: u64 = 1024;

impl Outbox {
    /// Queues an event at once, or gives it back as an order for the writer, behind those that
    /// wait there. Only the actor adds to what waits, so nothing can come between.
    pub fn push_in_order(&self, event: Arc<Forwarding>, writer: &WriterGauge) -> Option<Order> {
        let waiting = writer.forwards.load(Acquire);
        if waiting == 0 {
            self.push(&event);
            return None;
        }
        if waiting >= WAITING_MAX {
            // The store is away: the next ping says it again.
            self.drop_event(&event);
            return None;
        }
        writer.forwards.fetch_add(1, Relaxed);
        Some(Order::Batch(Batch {
            // What waited for a forwarder has no span of its own.
            cause: Cause::default(),
            changes: Vec::new(),
            outgoing: vec![Outgoing::Forward(event)],
        }))
    }
}
