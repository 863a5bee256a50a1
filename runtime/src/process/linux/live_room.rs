//! A room with processes, as the rest of the runtime sees it.

use super::process_table::ProcessId;
use maestro_core::ports::ContainerProcess;
use parking_lot::Mutex;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// The end of a grace period. An endless one is bounded, because instants are.
pub fn after(grace: Duration) -> Instant {
    const GRACE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + grace.min(GRACE_MAX)
}

/// The room is told to end.
#[derive(Clone, Debug)]
pub struct EndOrder {
    pub kill_at: Instant,
    /// For people.
    pub reason: &'static str,
}

impl EndOrder {
    /// A later order may shorten the grace period, never extend it.
    pub fn bring_nearer(&mut self, kill_at: Instant) {
        self.kill_at = self.kill_at.min(kill_at);
    }

    /// After a kill that did not end everything: the rest is up to the kernel, and retrying without
    /// a pause changes nothing.
    pub fn kill_again_after(&mut self, pause: Duration) {
        self.kill_at = after(pause);
    }
}

pub struct LiveRoom {
    /// Held while the room is being created, so that it is created once.
    pub gate: tokio::sync::Mutex<()>,
    orders: watch::Sender<Option<EndOrder>>,
    state: Mutex<State>,
    /// Running containers with their leaders; updated by the supervisor.
    running: Mutex<BTreeMap<String, ProcessId>>,
}

#[derive(Default)]
struct State {
    /// All its containers were started; otherwise a creation was interrupted.
    complete: bool,
    /// By container.
    logs: Vec<(String, PathBuf)>,
    supervisor: Option<SupervisorTask>,
}

struct SupervisorTask {
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
        let state = self.state.lock();
        state.logs.iter().map(|(_, log)| log.clone()).collect()
    }

    /// Each log with the running process that writes to it, if there is one.
    pub fn logs_with_leaders(&self) -> Vec<(PathBuf, Option<i32>)> {
        let logs = self.state.lock().logs.clone();
        let running = self.running.lock();
        let leader = |container: &str| running.get(container).map(|process| process.pid);
        let each = logs.into_iter();
        each.map(|(container, log)| (log, leader(&container)))
            .collect()
    }

    pub fn orders(&self) -> watch::Receiver<Option<EndOrder>> {
        // The supervisor must also see an order that came before it.
        let mut orders = self.orders.subscribe();
        orders.mark_changed();
        orders
    }

    /// A second order may shorten the grace period, never extend it.
    pub fn order_end(&self, order: EndOrder) {
        self.orders.send_modify(|current| match current {
            Some(earlier) => earlier.bring_nearer(order.kill_at),
            None => *current = Some(order),
        });
    }

    pub fn kept_by(
        &self,
        complete: bool,
        logs: Vec<(String, PathBuf)>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    ) {
        *self.state.lock() = State {
            complete,
            logs,
            supervisor: Some(SupervisorTask { stop, task }),
        };
    }

    /// Stops the room's supervisor without ending the room.
    pub async fn release_from_supervisor(&self) {
        let supervisor = self.state.lock().supervisor.take();
        if let Some(supervisor) = supervisor {
            supervisor.stop.cancel();
            if let Err(error) = supervisor.task.await {
                tracing::error!(%error, "the keeper of a room failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seconds: u64) -> EndOrder {
        EndOrder {
            kill_at: after(Duration::from_secs(seconds)),
            reason: "scale_down",
        }
    }

    #[test]
    fn a_later_order_never_postpones_a_kill() {
        let live = LiveRoom::new();
        let mut orders = live.orders();
        assert!(orders.borrow_and_update().is_none());
        let first = order(10);
        live.order_end(first.clone());
        for seconds in [3_600, 20] {
            live.order_end(order(seconds));
            let seen = orders.borrow_and_update().clone();
            assert_eq!(seen.unwrap().kill_at, first.kill_at);
        }
        let sooner = order(5);
        live.order_end(sooner.clone());
        let seen = orders.borrow_and_update().clone();
        assert_eq!(seen.unwrap().kill_at, sooner.kill_at);
        // Also when the grace period is over and KILL is about to be sent.
        let mut ending = order(0);
        ending.bring_nearer(order(3_600).kill_at);
        assert!(ending.kill_at <= Instant::now());
    }

    #[test]
    fn a_kill_that_failed_is_repeated_after_a_pause() {
        let mut ending = order(0);
        let (before, pause) = (Instant::now(), Duration::from_secs(30));
        ending.kill_again_after(pause);
        assert!(ending.kill_at >= before + pause);
        let sooner = order(5).kill_at;
        ending.bring_nearer(sooner);
        assert_eq!(ending.kill_at, sooner);
    }
}
