//! The table of simulated rooms: which exist, their ports, and when they become ready.
//!
//! As in the registry of the process runtime, a room counts from its reservation until its end, with or without ports.

use super::{ports::PortCounter, settings::SimulatedSettings};
use crate::{feeds::Feeds, limit::no_place, quantity::parse_milli};
use maestro_core::{domain::*, ports::*};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, Write},
    sync::Arc,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// How many events a watcher may lag behind: simulated rooms are created by the thousand.
const BEHIND_MAX: usize = 8192;

type Key = (SchedulerName, RoomId);

pub struct SimulatedFleet {
    settings: SimulatedSettings,
    pub feeds: Arc<Feeds>,
    /// Held across all changes of `feeds`, so that a room and its ports agree.
    state: Mutex<State>,
    /// Signalled when a room is pending.
    started: Notify,
    /// Distinguishes the rooms of this run from those of another.
    run: u32,
}

#[derive(Default)]
struct State {
    ports: PortCounter,
    /// By rooms that are about to be created.
    reserved: HashMap<RoomId, (SchedulerName, Arc<[u16]>)>,
    rooms: HashMap<Key, Arc<[u16]>>,
    created: u64,
    /// Pending rooms by the time at which they become ready.
    starting: VecDeque<(Instant, Key, String)>,
    list: Option<File>,
}

impl SimulatedFleet {
    pub fn new(settings: SimulatedSettings, stopping: CancellationToken) -> io::Result<Self> {
        let now = jiff::Timestamp::now().as_microsecond();
        let list = match &settings.room_list {
            Some(path) => Some(File::options().append(true).create(true).open(path)?),
            None => None,
        };
        // Newer than any version reported by an earlier run.
        let feeds = Feeds::new(now.unsigned_abs(), stopping).behind_max(BEHIND_MAX);
        Ok(Self {
            settings,
            feeds: Arc::new(feeds),
            state: Mutex::new(State {
                list,
                ..State::default()
            }),
            started: Notify::new(),
            run: uuid::Uuid::new_v4().as_fields().0,
        })
    }

    pub fn reserve(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        let mut state = self.state.lock();
        let existing = state.rooms.get(&(scheduler.name.clone(), room.clone()));
        let known = existing.or_else(|| Some(&state.reserved.get(room)?.1));
        if let Some(ports) = known {
            return Ok(ports.clone());
        }
        if state.places() >= self.settings.rooms_max {
            return Err(no_place(state.places()));
        }
        let mut drawn = Vec::new();
        for (start, end) in wanted(scheduler, self.settings.default_ports)? {
            let Some(port) = state.ports.draw(start, end) else {
                state.ports.free(&drawn);
                return Err(RuntimeError::Exhausted(format!(
                    "all host ports from {start} to {end} are taken by simulated rooms; widen the port range"
                ).into()));
            };
            drawn.push(port);
        }
        let ports: Arc<[u16]> = drawn.into();
        let reserved = (scheduler.name.clone(), ports.clone());
        state.reserved.insert(room.clone(), reserved);
        Ok(ports)
    }

    pub fn release(&self, room: &RoomId) {
        let mut state = self.state.lock();
        state.release(room);
    }

    pub fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        check(&order.scheduler.spec)?;
        let key = (order.scheduler.name.clone(), order.room.clone());
        let mut state = self.state.lock();
        if let Some(instance) = self.feeds.instance(&key.0, &key.1) {
            return Ok(instance);
        }
        state.claim(&key, &order.host_ports)?;
        state.created += 1;
        let pending = !self.settings.startup.is_zero();
        let instance = self.feeds.observe(
            &key.0,
            Instance {
                room: order.room.clone(),
                uid: format!("{:08x}-{}", self.run, state.created),
                version: order.scheduler.version().clone(),
                validation: order.validation,
                status: match pending {
                    true => InstanceStatus::Pending,
                    false => InstanceStatus::Ready,
                },
                description: String::new(),
                restarting: None,
                trouble: None,
                address: Some(Arc::new(address(order, &self.settings.host))),
                resource_version: 0,
            },
        );
        state.tell(&order.room);
        if pending {
            let at = Instant::now() + self.settings.startup;
            state.starting.push_back((at, key, instance.uid.clone()));
            self.started.notify_one();
        }
        Ok(instance)
    }

    pub fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
    ) -> Result<(), RuntimeError> {
        let mut state = self.state.lock();
        let found = self.feeds.instance(scheduler, room);
        let ours = found.filter(|instance| uid.is_none_or(|uid| uid == instance.uid));
        let Some(mut instance) = ours else {
            return Err(RuntimeError::NotFound);
        };
        instance.status = InstanceStatus::Terminating;
        self.feeds.observe(scheduler, instance);
        self.end(&mut state, &(scheduler.clone(), room.clone()));
        Ok(())
    }

    pub fn has_rooms(&self, scheduler: &SchedulerName) -> bool {
        self.state
            .lock()
            .rooms
            .keys()
            .any(|key| key.0 == *scheduler)
    }

    pub fn remove(&self, scheduler: &SchedulerName) {
        let mut state = self.state.lock();
        let of_it = state.rooms.keys().filter(|key| key.0 == *scheduler);
        for key in of_it.cloned().collect::<Vec<_>>() {
            self.end(&mut state, &key);
        }
        let reserved = state.reserved.iter().filter(|(_, (of, _))| of == scheduler);
        for room in reserved.map(|(room, _)| room.clone()).collect::<Vec<_>>() {
            state.release(&room);
        }
    }

    fn end(&self, state: &mut State, key: &Key) {
        if let Some(ports) = state.rooms.remove(key) {
            state.ports.free(&ports);
        }
        let exit = Exit {
            code: Some(0),
            reason: "a simulated room was told to end".into(),
            ..Exit::default()
        };
        self.feeds.gone(&key.0, &key.1, exit);
    }

    /// Makes pending rooms ready when their time has come: one task for all of them.
    pub async fn start_rooms(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            let next = self.state.lock().starting.front().map(|(at, ..)| *at);
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => self.started.notified().await,
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = wait => self.start_due(Instant::now()),
            }
        }
    }

    fn start_due(&self, now: Instant) {
        let mut state = self.state.lock();
        while state.starting.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, key, uid)) = state.starting.pop_front() else {
                return;
            };
            // It may have been ended meanwhile, or created again.
            let found = self.feeds.instance(&key.0, &key.1);
            if let Some(mut instance) = found.filter(|instance| instance.uid == uid) {
                instance.status = InstanceStatus::Ready;
                self.feeds.observe(&key.0, instance);
            }
        }
    }
}

impl State {
    fn places(&self) -> usize {
        self.rooms.len() + self.reserved.len()
    }

    fn release(&mut self, room: &RoomId) {
        if let Some((_, ports)) = self.reserved.remove(room) {
            self.ports.free(&ports);
        }
    }

    /// The ports of an order: reserved for this room, or from a row that is older than this run.
    fn claim(&mut self, key: &Key, ports: &Arc<[u16]>) -> Result<(), RuntimeError> {
        self.release(&key.1);
        if let Some(port) = ports.iter().find(|port| self.ports.is_taken(**port)) {
            let text = format!("host port {port} belongs to another simulated room");
            return Err(RuntimeError::Exhausted(text.into()));
        }
        for port in ports.iter() {
            self.ports.take(*port);
        }
        self.rooms.insert(key.clone(), ports.clone());
        Ok(())
    }

    fn tell(&mut self, room: &RoomId) {
        let Some(list) = &mut self.list else { return };
        if let Err(error) = list.write_all(format!("{room}\n").as_bytes()) {
            tracing::warn!(%error, "the list of simulated rooms cannot be written any more");
            self.list = None;
        }
    }
}

/// The range of each port, in the order of containers and their ports.
fn wanted(
    scheduler: &Scheduler,
    fallback: Option<PortRange>,
) -> Result<Vec<(u16, u16)>, RuntimeError> {
    let ports = scheduler.spec.containers.iter().flat_map(|c| &c.ports);
    ports
        .map(|port| {
            let range = scheduler.port_range.or(port.host_port_range).or(fallback);
            let range = range.filter(|range| range.start <= range.end);
            let bounds = range.and_then(|range| {
                Some((
                    u16::try_from(range.start.max(1)).ok()?,
                    u16::try_from(range.end).ok()?,
                ))
            });
            bounds.ok_or_else(|| {
                let text = format!("port {:?} has no range within 1 and 65535", port.name);
                RuntimeError::Invalid(text.into())
            })
        })
        .collect()
}

/// What no runtime could provide for a room.
fn check(spec: &Spec) -> Result<(), RuntimeError> {
    for container in &spec.containers {
        for resources in [&container.requests, &container.limits] {
            for quantity in [&resources.memory, &resources.cpu] {
                if !quantity.is_empty() && parse_milli(quantity).is_none() {
                    return Err(RuntimeError::Invalid(format!(
                        "container {:?}: {quantity:?} is not a quantity; write for example 100m or 64Mi",
                        container.name
                    ).into()));
                }
            }
        }
    }
    Ok(())
}

fn address(order: &RoomOrder, host: &str) -> Address {
    let containers = order.scheduler.spec.containers.iter();
    let ports = containers.flat_map(|c| &c.ports).zip(&*order.host_ports);
    Address {
        host: host.into(),
        ports: ports
            .map(|(spec, port)| Port {
                name: spec.name.clone(),
                port: i32::from(*port),
                protocol: spec.protocol.to_uppercase(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_testkit::contract::runtime::{RUNS, scheduler};

    fn fleet(rooms_max: usize) -> SimulatedFleet {
        let settings = SimulatedSettings {
            rooms_max,
            ..SimulatedSettings::default()
        };
        SimulatedFleet::new(settings, CancellationToken::new()).unwrap()
    }

    fn order(fleet: &SimulatedFleet, scheduler: &Arc<Scheduler>, room: &str) -> RoomOrder {
        RoomOrder {
            room: room.into(),
            host_ports: fleet.reserve(&room.into(), scheduler).unwrap(),
            scheduler: scheduler.clone(),
            validation: false,
            config: ConfigPairs::default(),
        }
    }

    /// Three rooms fit: one that stayed in a table would keep others out.
    #[test]
    fn rooms_and_schedulers_leave_no_trace_in_any_table() {
        let fleet = fleet(3);
        for number in 0..100 {
            let scheduler = Arc::new(scheduler(&format!("paper-{number}"), RUNS));
            let created = order(&fleet, &scheduler, "paper-a");
            fleet.create(&created).unwrap();
            assert_eq!(
                fleet.reserve(&"paper-a".into(), &scheduler).unwrap(),
                created.host_ports,
                "it has its ports already"
            );
            order(&fleet, &scheduler, "paper-b");
            order(&fleet, &scheduler, "paper-c");
            let full = fleet.reserve(&"paper-d".into(), &scheduler);
            assert!(matches!(full, Err(RuntimeError::Exhausted(_))), "{full:?}");
            fleet.release(&"paper-c".into());
            if number % 2 == 0 {
                fleet
                    .terminate(&scheduler.name, &"paper-a".into(), None)
                    .unwrap();
            }
            fleet.remove(&scheduler.name);
            let state = fleet.state.lock();
            assert_eq!(state.places(), 0, "round {number}");
            assert!((1..=u16::MAX).all(|port| !state.ports.is_taken(port)));
            assert!(fleet.feeds.is_empty());
        }
    }
}
