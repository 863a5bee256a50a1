//! One task per room: it observes exits, restarts containers, and ends the room.
//!
//! A room is over when all its containers have ended, like a pod. A container that exited with 0 changes nothing for
//! the others (D31). A container that fails for good makes the instance `error`, and the others are then ended with the
//! spec's grace period and KILL, so that no partial room remains. A container that waits for its restart in place makes
//! it `error` and `restarting`: the room keeps its place and its ports. Processes left behind by a container that ended
//! on its own are killed at once, as in a pod; if it was told to end, they have the rest of the grace period. Stopping
//! the supervisor does not stop the room.

mod end;
mod in_place;
mod start;

use super::{
    exit_watch::{Ending, Watched},
    folder::RoomFolder,
    host::Host,
    live_room::{EndOrder, LiveRoom, after},
    ports::RoomKey,
    process_table::ProcessId,
    record::RoomFile,
    restart::{RestartDelays, wants_restart},
    sweep::{self, Scope},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use maestro_core::domain::{Exit, Instance, InstanceStatus, Restart, RestartPolicy};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

const KILL_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// One container.
struct Slot {
    name: String,
    /// Its latest process, kept after its end until the room's leftovers are gone, because an unreaped leader keeps its
    /// pid from being reused.
    process: Option<Arc<Watched>>,
    state: SlotState,
    since: Instant,
    delays: RestartDelays,
}

enum SlotState {
    /// Was already gone when the supervisor started.
    Missing,
    Running,
    RestartAt(Instant),
    Ended,
}

type ExitFuture = Pin<Box<dyn Future<Output = usize> + Send>>;

pub struct RoomSupervisor {
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
    /// The latest end before the room is told to end, and whose log explains it.
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

impl RoomSupervisor {
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
            policy: record.spec.restart_policy.clone(),
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

    /// `containers` with their processes; one without a process ended unseen.
    pub async fn run(mut self, containers: Vec<(String, Option<ProcessId>)>) {
        for (index, (name, id)) in containers.into_iter().enumerate() {
            let restarts = self.record.restarts_of(&name);
            let delays = RestartDelays::after(restarts.map_or(0, |r| r.in_a_row));
            self.slots.push(Slot {
                name,
                process: None,
                state: SlotState::Missing,
                since: Instant::now(),
                delays,
            });
            if let Some(id) = id {
                self.hold(index, id);
            }
        }
        for index in 0..self.slots.len() {
            if !matches!(self.slots[index].state, SlotState::Missing) {
                continue;
            }
            if self.record.completed.contains(&self.slots[index].name) {
                self.slots[index].state = SlotState::Ended;
            } else if !self.waits_on(index) {
                self.on_missing(index).await;
            }
        }
        while !self.is_over() {
            match self.next_step().await {
                Step::Stop => return,
                Step::Exit(index) => self.on_exit(index).await,
                Step::Order => self.on_order().await,
                Step::KillNow => {
                    let stop = self.stop.clone();
                    unless(&stop, sweep::kill_all(&self.host, &self.scope())).await;
                    if let Some(ending) = &mut self.ending {
                        ending.kill_again_after(KILL_AGAIN_AFTER);
                    }
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

    /// Holds the process by pidfd; if it is already gone, the slot is missing.
    fn hold(&mut self, index: usize, id: ProcessId) {
        let slot = &mut self.slots[index];
        match Watched::new(id) {
            Some(process) => {
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
            None => slot.state = SlotState::Missing,
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
        unless(&self.stop, sweep::kill_all(&self.host, &scope)).await;
        if self.stop.is_cancelled() {
            return;
        }
        self.on_end(index, process.reap()).await;
    }

    /// It ended unseen, or cannot be watched: what is left of it is ended, then it counts as ended.
    async fn on_missing(&mut self, index: usize) {
        let name = self.slots[index].name.clone();
        let scope = Scope {
            key: &self.key,
            container: Some(&name),
            leaders: self.record.process(&name).into_iter().collect(),
        };
        unless(&self.stop, sweep::kill_all(&self.host, &scope)).await;
        if self.stop.is_cancelled() {
            return;
        }
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
                ..Exit::default()
            };
            self.outcome = Some((exit, self.slots[index].name.clone()));
        }
        if self.ending.is_none() && wants_restart(&self.policy, &ending) {
            return self.wait_for_restart(index, ending, words).await;
        }
        let slot = &mut self.slots[index];
        slot.state = SlotState::Ended;
        if self.ending.is_some() || self.is_over() {
            return;
        }
        if ending.is_success() {
            // For the process that adopts the room: by then it is unknown how it ended.
            let name = self.slots[index].name.clone();
            self.record.completed.push(name);
            return self.write_record().await;
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

    fn tell(&mut self, status: InstanceStatus, description: String) {
        self.observe(status, description, None);
    }

    async fn write_record(&mut self) {
        self.record.resource_version = self.instance.resource_version;
        self.host.write_record(&self.record, &self.folder).await;
    }

    fn observe(
        &mut self,
        status: InstanceStatus,
        description: String,
        restarting: Option<Restart>,
    ) {
        self.instance.status = status;
        self.instance.description = description;
        self.instance.restarting = restarting;
        self.instance = self.host.feeds.observe(&self.key.0, self.instance.clone());
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Returns when the work is done or when the supervisor has to stop; callers must check which before they consider
/// anything ended.
async fn unless(stop: &CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
