//! The lives of one container: started, ended, started again as the restart policy says, with a growing pause.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::environment::launch;
use super::process::Process;
use super::shared::Shared;
use super::state::{Ended, State};

/// How often an image or a secret that is missing is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const BACK_OFF_MOST: Duration = Duration::from_secs(300);
/// What a container runtime says of a program that it cannot start.
const NOT_STARTED: i32 = 128;

/// What a container is told by its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    /// It is asked to end, and killed at this moment.
    EndBy(Instant),
    Kill,
}

/// What a pod is told by a container.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) index: usize,
    /// `None` if it stays what it was.
    pub(super) state: Option<State>,
    /// It will not be started again.
    pub(super) is_over: bool,
}

/// One container of a pod.
pub(super) struct Lives {
    pub(super) index: usize,
    pub(super) container: Container,
    pub(super) pod: Arc<Pod>,
    pub(super) address: String,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
    /// It has already had a life, before the machine failed.
    pub(super) has_lived: bool,
}

impl Lives {
    /// Until it is over.
    pub(super) async fn run(mut self) {
        let mut restarts = 0;
        let over = if self.has_lived && !self.restarts_after(None) {
            None
        } else {
            loop {
                let Some(ended) = self.live().await else {
                    break None;
                };
                if self.has_orders() || !self.restarts_after(Some(ended.code)) {
                    break Some(ended);
                }
                self.report(State::Ended(ended), false);
                if !self.pause(restarts).await {
                    break None;
                }
                restarts += 1;
            }
        };
        let _ = self.reports.send(Report {
            index: self.index,
            state: over.map(State::Ended),
            is_over: true,
        });
    }

    /// `None` if it was told to end before it was started.
    async fn live(&mut self) -> Option<Ended> {
        if let Some(after) = self.shared.ready_after {
            if self.is_told_within(after).await {
                return None;
            }
            return Some(self.pretend().await);
        }
        loop {
            match launch(&self.shared, &self.pod, &self.container, &self.address).await {
                Err(waiting) => {
                    self.report(waiting, false);
                    if self.is_told_within(LOOK_EVERY).await {
                        return None;
                    }
                }
                Ok(_) if self.has_orders() => return None,
                Ok(launch) => {
                    let uid = self.pod.uid().unwrap_or_default();
                    let log = self.shared.log(&uid, &self.container.name);
                    let started = Timestamp::now();
                    return Some(match self.shared.groups.start(&uid, &launch, &log) {
                        Ok(process) => self.attend(process).await,
                        Err(error) => Ended {
                            code: NOT_STARTED,
                            reason: "StartError".into(),
                            message: format!("{}: {error}", launch.program.display()),
                            started,
                        },
                    });
                }
            }
        }
    }

    /// Without a process.
    async fn pretend(&mut self) -> Ended {
        let since = Timestamp::now();
        self.report(State::Running { since }, false);
        self.told().await;
        ended(0, since)
    }

    async fn attend(&mut self, mut process: Process) -> Ended {
        let since = Timestamp::now();
        self.report(State::Running { since }, false);
        let shared = Arc::clone(&self.shared);
        let mut told = *self.orders.borrow_and_update();
        let mut asked = false;
        loop {
            match told {
                Order::Kill => process.kill(),
                Order::EndBy(_) if !asked => {
                    process.ask_to_end();
                    asked = true;
                }
                Order::EndBy(_) | Order::Run => {}
            }
            let late = async {
                match told {
                    Order::EndBy(moment) => sleep_until(moment).await,
                    Order::Run | Order::Kill => std::future::pending().await,
                }
            };
            tokio::select! {
                code = process.ended(&shared.groups) => return ended(code, since),
                () = late => told = Order::Kill,
                changed = self.orders.changed() => told = match changed {
                    Ok(()) => *self.orders.borrow_and_update(),
                    Err(_) => Order::Kill,
                },
            }
        }
    }

    /// Whether it may be started again. A machine that fails leaves no exit code.
    fn restarts_after(&self, code: Option<i32>) -> bool {
        let spec = self.pod.spec.as_ref();
        match spec.and_then(|spec| spec.restart_policy.as_deref()) {
            Some("Never") => false,
            Some("OnFailure") => code != Some(0),
            _ => true,
        }
    }

    /// False if it was told to end meanwhile. The first restart is at once.
    async fn pause(&mut self, restarts: u32) -> bool {
        let Some(doublings) = restarts.checked_sub(1) else {
            return !self.has_orders();
        };
        let pause = self
            .shared
            .back_off
            .saturating_mul(2_u32.saturating_pow(doublings));
        let pause = pause.min(BACK_OFF_MOST);
        let (name, pod) = (&self.container.name, self.pod.name_any());
        let message = format!("back-off {pause:?} restarting failed container={name} pod={pod}");
        let reason = "CrashLoopBackOff".to_owned();
        self.report(State::Waiting { reason, message }, false);
        !self.is_told_within(pause).await
    }

    fn report(&self, state: State, is_over: bool) {
        // A pod that does not listen any more is gone, and its containers are told.
        let _ = self.reports.send(Report {
            index: self.index,
            state: Some(state),
            is_over,
        });
    }

    fn has_orders(&self) -> bool {
        *self.orders.borrow() != Order::Run
    }

    /// Returns when it is told to end.
    async fn told(&mut self) {
        // An error says that there is no pod any more.
        let _ = self.orders.wait_for(|order| *order != Order::Run).await;
    }

    async fn is_told_within(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = self.told() => true,
            () = sleep(time) => false,
        }
    }
}

fn ended(code: i32, started: Timestamp) -> Ended {
    Ended {
        code,
        reason: if code == 0 { "Completed" } else { "Error" }.into(),
        message: String::new(),
        started,
    }
}
