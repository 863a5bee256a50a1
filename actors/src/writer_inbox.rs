//! What an owner sends to its writer: decisions whose changes and effects are in order, and steady pings.

use crate::forwarding::{Held, Outbox};
use crate::group::{Group, Outgoing};
use crate::turn_trace::TurnTrace;
use maestro_core::domain::RoomTouch;
use maestro_core::ports::Change;
use maestro_core::rules::grouping::BATCHES_MAX;
use maestro_core::rules::writing::PendingTouches;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::mpsc;
use tracing::Span;

pub(crate) struct Batch {
    pub trace: TurnTrace,
    pub changes: Vec<Change>,
    pub outgoing: Vec<Outgoing>,
}

pub(crate) enum Order {
    Batch(Batch),
    /// Steady pings; stored after everything else that waits.
    Touches(Vec<RoomTouch>),
    /// Everything that the owner knows, for a store that lost changes. The writer asked for it.
    Snapshot(Vec<Change>),
}

fn commit_span(batch: &Batch) -> Option<Span> {
    match batch.changes.len() {
        0 => None,
        changes => batch.trace.commit(changes),
    }
}

/// Read by `/debug/actors`.
#[derive(Default)]
pub(crate) struct WriterGauge {
    pub waiting: AtomicU64,
    pub seq: AtomicU64,
    pub commits: AtomicU64,
    pub retries: AtomicU64,
    /// 1 while the store refuses the changes of this scheduler and takes those of others.
    pub refused: AtomicU64,
    pub held: Held,
}

/// What the owner has sent and the writer has not processed yet.
pub(crate) struct Inbox {
    orders: mpsc::Receiver<Order>,
    gauge: Arc<WriterGauge>,
    outbox: Outbox,
    /// Decisions that arrived while an earlier commit was being retried, merged.
    pub folded: Group,
    pub touches: PendingTouches,
}

impl Inbox {
    pub fn new(orders: mpsc::Receiver<Order>, gauge: Arc<WriterGauge>, outbox: Outbox) -> Self {
        Self {
            orders,
            gauge,
            outbox,
            folded: Group::default(),
            touches: PendingTouches::default(),
        }
    }

    /// The next group: everything that has arrived. Waits only if there is nothing else to do. `None` when the owner
    /// has ended and everything is processed.
    pub async fn group(&mut self) -> Option<Group> {
        let mut group = std::mem::take(&mut self.folded);
        if group.is_empty() && self.touches.is_empty() {
            let first = self.orders.recv().await?;
            self.add(&mut group, first);
        }
        let most = group.changes.batches().max(BATCHES_MAX);
        while group.changes.batches() < most {
            let Ok(order) = self.orders.try_recv() else {
                break;
            };
            self.add(&mut group, order);
        }
        let taken = group.changes.batches();
        self.gauge.waiting.fetch_sub(taken, Relaxed);
        Some(group)
    }

    /// Adds an order to the group. A snapshot is not part of it, and returned.
    fn add(&mut self, group: &mut Group, order: Order) -> Option<Vec<Change>> {
        match order {
            Order::Batch(batch) => {
                group.spans.extend(commit_span(&batch));
                group.changes.add(batch.changes, &mut self.touches);
                group.outgoing.extend(batch.outgoing);
                None
            }
            Order::Touches(rooms) => {
                self.gauge.waiting.fetch_sub(1, Relaxed);
                self.touches.add(rooms);
                None
            }
            Order::Snapshot(changes) => {
                self.gauge.waiting.fetch_sub(1, Relaxed);
                Some(changes)
            }
        }
    }

    /// Receives and merges decisions for as long as it is polled.
    pub async fn fold(&mut self, cause: Option<&str>) -> Infallible {
        // Only a writer that waits for a snapshot is sent one.
        while self.fold_up_to_snapshot(cause).await.is_some() {}
        std::future::pending().await
    }

    /// Receives and merges decisions until a snapshot comes. `None`: the owner has ended.
    pub async fn fold_up_to_snapshot(&mut self, cause: Option<&str>) -> Option<Vec<Change>> {
        loop {
            let order = self.orders.recv().await?;
            let mut folded = std::mem::take(&mut self.folded);
            let snapshot = self.add(&mut folded, order);
            if let Some(cause) = cause {
                folded.not_stored(cause);
            }
            for event in folded.sweep() {
                self.gauge.held.done(&event.room);
                self.outbox.drop_event(&event);
            }
            self.folded = folded;
            if snapshot.is_some() {
                return snapshot;
            }
        }
    }

    /// Moves what follows from the folded decisions to `group`, and returns their changes.
    pub fn join(&mut self, group: &mut Group) -> Vec<Change> {
        let mut folded = std::mem::take(&mut self.folded);
        let batches = folded.changes.batches();
        self.gauge.waiting.fetch_sub(batches, Relaxed);
        group.outgoing.append(&mut folded.outgoing);
        group.spans.append(&mut folded.spans);
        folded.changes.take()
    }
}
