//! A room that has processes, as the rest of the runtime sees it.

use super::process_table::ProcessId;
use maestro_core::ports::ContainerProcess;
use parking_lot::Mutex;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// The moment at which a grace period is over. An endless one is bounded, since moments are.
pub fn after(grace: Duration) -> Instant {
    const GRACE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + grace.min(GRACE_MAX)
}

/// Somebody wants the room gone.
#[derive(Clone, Debug)]
pub struct EndOrder {
    pub kill_at: Instant,
    /// For people.
    pub reason: &'static str,
}

pub struct LiveRoom {
    /// Held while the room is being made, so that it is made once.
    pub gate: tokio::sync::Mutex<()>,
    orders: watch::Sender<Option<EndOrder>>,
    state: Mutex<State>,
    /// Containers that run, with their leaders; told by the keeper.
    running: Mutex<BTreeMap<String, ProcessId>>,
}

#[derive(Default)]
struct State {
    /// All its containers were started; otherwise a creation was cut short.
    complete: bool,
    logs: Vec<PathBuf>,
    keeper: Option<KeeperTask>,
}

struct KeeperTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl LiveRoom {
    pub fn new() -> Self {
        Self {
            gate: tokio::sync::Mutex::new(()),
            orders: watch::Sender::new(None),
            state: Mutex::default(),
            running: Mutex::default(),
        }
    }

    pub fn runs(&self, container: &str, process: ProcessId) {
        self.running.lock().insert(container.to_owned(), process);
    }

    pub fn runs_no_more(&self, container: &str) {
        self.running.lock().remove(container);
    }

    pub fn processes(&self) -> Vec<ContainerProcess> {
        let running = self.running.lock();
        let each = running.iter().map(|(container, process)| ContainerProcess {
            container: container.clone(),
            pid: process.pid.unsigned_abs(),
        });
        each.collect()
    }

    pub fn is_complete(&self) -> bool {
        self.state.lock().complete
    }

    pub fn logs(&self) -> Vec<PathBuf> {
        self.state.lock().logs.clone()
    }

    pub fn orders(&self) -> watch::Receiver<Option<EndOrder>> {
        // Also an order that came before its keeper must be seen by it.
        let mut orders = self.orders.subscribe();
        orders.mark_changed();
        orders
    }

    /// A second order may bring the end nearer, never put it off.
    pub fn order_end(&self, order: EndOrder) {
        self.orders.send_modify(|current| match current {
            Some(earlier) => earlier.kill_at = earlier.kill_at.min(order.kill_at),
            None => *current = Some(order),
        });
    }

    pub fn kept_by(
        &self,
        complete: bool,
        logs: Vec<PathBuf>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    ) {
        *self.state.lock() = State {
            complete,
            logs,
            keeper: Some(KeeperTask { stop, task }),
        };
    }

    /// Takes the room from its keeper without ending it.
    pub async fn release_from_keeper(&self) {
        let keeper = self.state.lock().keeper.take();
        if let Some(keeper) = keeper {
            keeper.stop.cancel();
            if let Err(error) = keeper.task.await {
                tracing::error!(%error, "the keeper of a room failed");
            }
        }
    }
}
