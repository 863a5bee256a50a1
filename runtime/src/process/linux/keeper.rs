//! One task per room: it learns of exits, starts containers again, and ends the room.
//!
//! A room is over when all its containers have ended, as a pod is. A container that fails
//! for good makes the instance `error`, and the others are then ended by the spec's grace
//! period and KILL, so that no half room lingers. What a container leaves behind when it
//! ends by itself is killed at once, as in a pod; when it was asked to end, what it left
//! has the rest of the grace period. Stopping the keeper stops no room.

use super::{
    exit_watch::{Ending, Watched},
    folder::RoomFolder,
    host::Host,
    live_room::{EndOrder, LiveRoom, after},
    logs,
    ports::RoomKey,
    process_table::ProcessId,
    record::{Phase, RoomFile},
    restart::{BackOff, RestartPolicy},
    sweep::{self, Scope},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use maestro_core::domain::{Exit, Instance, InstanceStatus};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

const EXIT_LOG_LINES: usize = 20;
const KILL_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// One container.
struct Slot {
    name: String,
    /// Of its newest process; kept after its end until the room's leftovers are gone, since
    /// an unreaped leader keeps its number from being given anew.
    process: Option<Arc<Watched>>,
    state: SlotState,
    since: Instant,
    back_off: BackOff,
}

enum SlotState {
    /// Was not there when we came.
    Missing,
    Running,
    RestartAt(Instant),
    Ended,
}

type ExitFuture = Pin<Box<dyn Future<Output = usize> + Send>>;

pub struct Keeper {
    host: Arc<Host>,
    key: RoomKey,
    live: Arc<LiveRoom>,
    folder: RoomFolder,
    record: RoomFile,
    instance: Instance,
    policy: RestartPolicy,
    slots: Vec<Slot>,
    exits: FuturesUnordered<ExitFuture>,
    orders: watch::Receiver<Option<EndOrder>>,
    ending: Option<EndOrder>,
    /// The newest end until the room is being ended, and whose log tells about it.
    outcome: Option<(Exit, String)>,
    stop: CancellationToken,
}

enum Step {
    Exit(usize),
    Order,
    KillNow,
    Restart,
    Stop,
}

impl Keeper {
    pub fn new(
        host: Arc<Host>,
        live: Arc<LiveRoom>,
        folder: RoomFolder,
        record: RoomFile,
        instance: Instance,
        stop: CancellationToken,
    ) -> Self {
        let orders = live.orders();
        Self {
            key: (record.scheduler.clone(), record.room.clone()),
            policy: RestartPolicy::from_word(&record.spec.restart_policy),
            slots: Vec::new(),
            exits: FuturesUnordered::new(),
            ending: None,
            outcome: None,
            host,
            live,
            folder,
            record,
            instance,
            orders,
            stop,
        }
    }

    /// `containers` with their processes; one without has gone unseen.
    pub async fn run(mut self, containers: Vec<(String, Option<ProcessId>)>) {
        for (index, (name, id)) in containers.into_iter().enumerate() {
            self.slots.push(Slot {
                name,
                process: None,
                state: SlotState::Missing,
                since: Instant::now(),
                back_off: BackOff::default(),
            });
            if let Some(id) = id {
                self.hold(index, id);
            }
        }
        for index in 0..self.slots.len() {
            if matches!(self.slots[index].state, SlotState::Missing) {
                self.on_missing(index).await;
            }
        }
        while !self.is_over() {
            match self.next_step().await {
                Step::Stop => return,
                Step::Exit(index) => self.on_exit(index).await,
                Step::Order => self.on_order().await,
                Step::KillNow => {
                    sweep::kill_all(&self.host, &self.scope()).await;
                    // What is left is in the kernel's hands.
                    self.set_kill_at(after(KILL_AGAIN_AFTER));
                }
                Step::Restart => self.restart_due().await,
            }
        }
        self.finish().await;
    }

    fn is_over(&self) -> bool {
        let ended = |slot: &Slot| matches!(slot.state, SlotState::Ended);
        self.slots.iter().all(ended)
    }

    async fn next_step(&mut self) -> Step {
        let restart_at = self.slots.iter().filter_map(|slot| match slot.state {
            SlotState::RestartAt(at) => Some(at),
            _ => None,
        });
        let restart_at = restart_at.min();
        let kill_at = self.ending.as_ref().map(|order| order.kill_at);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Step::Stop,
            Some(index) = self.exits.next() => Step::Exit(index),
            Ok(()) = self.orders.changed() => Step::Order,
            () = at(kill_at) => Step::KillNow,
            () = at(restart_at) => Step::Restart,
        }
    }

    fn scope(&self) -> Scope<'_> {
        let processes = self.slots.iter().filter_map(|slot| slot.process.as_ref());
        Scope {
            key: &self.key,
            container: None,
            leaders: processes.map(|process| process.id).collect(),
        }
    }

    /// Holds the process by pidfd; one that has gone already leaves the slot missing.
    fn hold(&mut self, index: usize, id: ProcessId) {
        let slot = &mut self.slots[index];
        match Watched::new(id) {
            Ok(Some(process)) => {
                let process = Arc::new(process);
                slot.process = Some(process.clone());
                slot.state = SlotState::Running;
                slot.since = Instant::now();
                self.live.runs(&slot.name, id);
                self.exits.push(Box::pin(async move {
                    process.ended().await;
                    index
                }));
            }
            Ok(None) => slot.state = SlotState::Missing,
            Err(error) => {
                tracing::error!(room_id = %self.key.1, pid = id.pid, %error, "a process cannot be watched");
                slot.state = SlotState::Missing;
            }
        }
    }

    async fn on_exit(&mut self, index: usize) {
        let Some(process) = self.slots[index].process.clone() else {
            return;
        };
        if self.ending.is_some() {
            // Reaped when the leftovers are gone.
            return self.on_end(index, process.peek()).await;
        }
        let name = self.slots[index].name.clone();
        let scope = Scope {
            key: &self.key,
            container: Some(&name),
            leaders: vec![process.id],
        };
        sweep::kill_all(&self.host, &scope).await;
        self.on_end(index, process.reap()).await;
    }

    /// It went unseen, or cannot be watched: what there is of it ends, then it counts as ended.
    async fn on_missing(&mut self, index: usize) {
        let name = self.slots[index].name.clone();
        let scope = Scope {
            key: &self.key,
            container: Some(&name),
            leaders: self.record.process(&name).into_iter().collect(),
        };
        sweep::kill_all(&self.host, &scope).await;
        self.on_end(index, Ending::default()).await;
    }

    async fn on_end(&mut self, index: usize, ending: Ending) {
        self.live.runs_no_more(&self.slots[index].name);
        let words = self.describe(index, &ending);
        if self.outcome.is_none() || self.ending.is_none() {
            let exit = Exit {
                code: ending.code,
                signal: ending.signal,
                reason: words.clone(),
                log_tail: Vec::new(),
            };
            self.outcome = Some((exit, self.slots[index].name.clone()));
        }
        let slot = &mut self.slots[index];
        if self.ending.is_none() && self.policy.wants_restart(&ending) {
            let delay = slot.back_off.next(slot.since.elapsed());
            slot.state = SlotState::RestartAt(Instant::now() + delay);
            let seconds = delay.as_secs();
            let text = format!("CrashLoopBackOff: {words}, next start in {seconds} s");
            return self.tell(InstanceStatus::Error, text);
        }
        slot.state = SlotState::Ended;
        if self.ending.is_some() || self.is_over() {
            return;
        }
        if ending.is_success() {
            return self.tell(InstanceStatus::Terminating, format!("Completed: {words}"));
        }
        self.tell(InstanceStatus::Error, words);
        let order = EndOrder {
            kill_at: after(self.record.spec.grace()),
            reason: "the rest of the room was ended",
        };
        self.begin_end(order).await;
    }

    fn describe(&self, index: usize, ending: &Ending) -> String {
        let name = &self.slots[index].name;
        let memory = match &self.host.cgroups {
            Some(cgroups) if ending.signal == Some(9) && cgroups.out_of_memory(&self.key) => {
                "OOMKilled: "
            }
            _ => "",
        };
        format!("{memory}container {name:?} {}", ending.words())
    }

    async fn on_order(&mut self) {
        let Some(order) = self.orders.borrow_and_update().clone() else {
            return;
        };
        if self.ending.is_some() {
            return self.set_kill_at(order.kill_at);
        }
        self.tell(InstanceStatus::Terminating, order.reason.to_owned());
        self.begin_end(order).await;
    }

    /// Never later than it was.
    fn set_kill_at(&mut self, kill_at: Instant) {
        if let Some(ending) = &mut self.ending {
            let passed = ending.kill_at <= Instant::now();
            ending.kill_at = match passed {
                true => kill_at,
                false => ending.kill_at.min(kill_at),
            };
        }
    }

    async fn begin_end(&mut self, order: EndOrder) {
        self.ending = Some(order);
        for slot in &mut self.slots {
            if matches!(slot.state, SlotState::RestartAt(_)) {
                slot.state = SlotState::Ended;
            }
        }
        sweep::ask_to_end(&self.host, &self.scope()).await;
    }

    async fn restart_due(&mut self) {
        let now = Instant::now();
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index].state, SlotState::RestartAt(at) if at <= now) {
                continue;
            }
            let name = self.slots[index].name.clone();
            match self
                .host
                .start_again(&self.record, &self.folder, &name)
                .await
            {
                Ok(id) => {
                    self.record.set_process(&name, id);
                    self.record.resource_version = self.instance.resource_version;
                    self.host.write_record(&self.record, &self.folder).await;
                    self.hold(index, id);
                    if matches!(self.slots[index].state, SlotState::Missing) {
                        self.on_missing(index).await;
                    }
                }
                Err(error) => {
                    let delay = self.slots[index].back_off.next(Duration::ZERO);
                    self.slots[index].state = SlotState::RestartAt(now + delay);
                    self.tell(InstanceStatus::Error, format!("RunContainerError: {error}"));
                }
            }
        }
        let running = |slot: &Slot| matches!(slot.state, SlotState::Running);
        if self.slots.iter().all(running) {
            self.tell(InstanceStatus::Ready, String::new());
        }
    }

    fn tell(&mut self, status: InstanceStatus, description: String) {
        self.instance.status = status;
        self.instance.description = description;
        self.instance = self.host.feeds.observe(&self.key.0, self.instance.clone());
    }

    /// What the leaders left behind may use the rest of the grace period.
    async fn outlast(&mut self) {
        while let Some(kill_at) = self.ending.as_ref().map(|order| order.kill_at) {
            let left = sweep::members(&self.host, &self.scope()).await;
            if left.is_empty() {
                return;
            }
            let order = tokio::select! {
                () = sweep::all_ended(&left) => false,
                () = tokio::time::sleep_until(kill_at) => return,
                () = self.stop.cancelled() => return,
                Ok(()) = self.orders.changed() => true,
            };
            if order {
                self.on_order().await;
            }
        }
    }

    async fn finish(mut self) {
        self.outlast().await;
        if self.stop.is_cancelled() {
            return;
        }
        sweep::kill_all(&self.host, &self.scope()).await;
        for slot in &self.slots {
            if let Some(process) = &slot.process {
                process.reap();
            }
        }
        let (mut exit, container) = self.outcome.take().unwrap_or_default();
        if let Some(order) = &self.ending {
            exit.reason = format!("{} ({})", exit.reason, order.reason);
        }
        let log = self.folder.log(&container);
        let tail = self.host.blocking(move || logs::tail(&log, EXIT_LOG_LINES));
        if let Some(Ok(lines)) = tail.await {
            exit.log_tail = lines;
        }
        self.record.phase = Phase::Ended;
        self.record.ended_at = Some(jiff::Timestamp::now());
        self.record.end = Some(exit.reason.clone());
        self.record.resource_version = self.instance.resource_version;
        self.host.write_record(&self.record, &self.folder).await;
        self.host.room_ended(&self.key, &self.live);
        self.host.feeds.gone(&self.key.0, &self.key.1, exit);
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
