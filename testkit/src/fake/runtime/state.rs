//! The rooms of a fake runtime and their watchers.

use maestro_core::{domain::*, ports::*};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::mpsc::UnboundedSender;

/// How a room ends after an order to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Termination {
    /// At once: the watch says `Gone`.
    #[default]
    AtOnce,
    /// It shows as terminating until [`super::FakeRuntime::finish`].
    WhenTold,
    /// It ignores the order.
    Ignored,
}

pub(super) type Key = (SchedulerName, RoomId);

#[derive(Default)]
pub(super) struct Rooms {
    pub running: BTreeMap<Key, Running>,
    /// With the operation that made each; `None` for one that was there before.
    pub places: BTreeMap<SchedulerName, Option<OperationId>>,
    /// Places that are being removed, with the number of answers until they are gone.
    pub terminating: BTreeMap<SchedulerName, u32>,
    /// How often the removal of a place has to be asked for before it is gone.
    pub removal_takes: u32,
    pub reserved: BTreeMap<RoomId, Arc<[u16]>>,
    /// Rooms that are not evicted, and the number in each scheduler's budget.
    pub protected: BTreeSet<Key>,
    pub budgets: BTreeMap<SchedulerName, usize>,
    watchers: HashMap<SchedulerName, Vec<UnboundedSender<RuntimeEvent>>>,
    pub created_status: Option<InstanceStatus>,
    pub termination: Termination,
    /// Events are lost until the next list.
    pub muted: BTreeSet<SchedulerName>,
    pub ended: Vec<(RoomId, RemovalReason)>,
    pub logs: HashMap<RoomId, Vec<String>>,
    pub processes: HashMap<RoomId, Vec<ContainerProcess>>,
    pub peak: usize,
    started: u64,
    observed: u64,
}

pub(super) struct Running {
    pub instance: Instance,
    pub order: Option<RoomOrder>,
}

const PORTS: (i32, i32) = (20_000, 60_000);

impl Rooms {
    pub fn watch(&mut self, scheduler: &SchedulerName, watcher: UnboundedSender<RuntimeEvent>) {
        // A watcher that is gone gets nothing.
        let _ = watcher.send(RuntimeEvent::Listed(self.list(scheduler)));
        let all = self.watchers.entry(scheduler.clone()).or_default();
        all.push(watcher);
    }

    pub fn end_watches(&mut self, scheduler: &SchedulerName) {
        self.watchers.remove(scheduler);
    }

    pub fn list(&self, scheduler: &SchedulerName) -> Vec<Instance> {
        let of_it = self.running.iter().filter(|((s, _), _)| s == scheduler);
        of_it.map(|(_, room)| room.instance.clone()).collect()
    }

    pub fn tell(&mut self, scheduler: &SchedulerName, event: RuntimeEvent) {
        if self.muted.contains(scheduler) {
            return;
        }
        if let Some(watchers) = self.watchers.get_mut(scheduler) {
            watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
        }
    }

    pub fn reserve(
        &mut self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        if let Some(ports) = self.reserved.get(room) {
            return Ok(ports.clone());
        }
        let (start, end) = scheduler.port_range.map_or(PORTS, |r| (r.start, r.end));
        let wanted = scheduler
            .spec
            .containers
            .iter()
            .map(|c| c.ports.len())
            .sum();
        let taken = self.taken();
        let range = u16::try_from(start).unwrap_or(0)..=u16::try_from(end).unwrap_or(u16::MAX);
        let ports: Vec<u16> = range.filter(|p| !taken.contains(p)).take(wanted).collect();
        if ports.len() < wanted {
            let text = format!("no {wanted} free ports in {start}-{end}");
            return Err(RuntimeError::Exhausted(text.into()));
        }
        let ports: Arc<[u16]> = ports.into();
        self.reserved.insert(room.clone(), ports.clone());
        Ok(ports)
    }

    fn taken(&self) -> BTreeSet<u16> {
        self.reserved
            .values()
            .flat_map(|p| p.iter())
            .copied()
            .collect()
    }

    pub fn shared_ports(&self) -> Vec<String> {
        let mut holders = BTreeMap::new();
        let mut shared = Vec::new();
        for ((_, room), running) in &self.running {
            let ports = running.order.iter().flat_map(|o| o.host_ports.iter());
            for port in ports {
                if let Some(other) = holders.insert(*port, room) {
                    shared.push(format!("{room} and {other} share port {port}"));
                }
            }
        }
        shared
    }

    /// Releases only a reservation: a running room keeps its ports.
    pub fn release(&mut self, room: &RoomId) {
        if !self.running.keys().any(|(_, id)| id == room) {
            self.reserved.remove(room);
        }
    }

    /// Refuses if another room has one of the ports by now: the book of ports decides, whatever an
    /// older intent says.
    pub fn create(&mut self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        let key = (order.scheduler.name.clone(), order.room.clone());
        if let Some(room) = self.running.get(&key) {
            return Ok(room.instance.clone());
        }
        for (other, ports) in &self.reserved {
            let shared = ports.iter().any(|port| order.host_ports.contains(port));
            if other != &order.room && shared {
                let text = format!("{other} has ports of {}", order.room);
                return Err(RuntimeError::Exhausted(text.into()));
            }
        }
        self.reserved
            .insert(order.room.clone(), order.host_ports.clone());
        self.started += 1;
        self.observed += 1;
        let instance = Instance {
            room: order.room.clone(),
            uid: format!("uid-{}", self.started),
            version: order.scheduler.version().clone(),
            validation: order.validation,
            status: self.created_status.unwrap_or(InstanceStatus::Ready),
            description: String::new(),
            restarting: None,
            trouble: None,
            address: Some(Arc::new(address(order))),
            resource_version: self.observed,
        };
        self.put(key, instance.clone(), Some(order.clone()));
        Ok(instance)
    }

    pub fn put(&mut self, key: Key, instance: Instance, order: Option<RoomOrder>) {
        let scheduler = key.0.clone();
        let event = RuntimeEvent::Changed(instance.clone());
        self.running.insert(key, Running { instance, order });
        self.peak = self.peak.max(self.running.len());
        self.tell(&scheduler, event);
    }

    pub fn terminate(
        &mut self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        reason: RemovalReason,
    ) -> Result<(), RuntimeError> {
        let key = (scheduler.clone(), room.clone());
        let running = self.running.get(&key);
        let ours = running.is_some_and(|r| uid.is_none_or(|uid| r.instance.uid == uid));
        if !ours {
            return Err(RuntimeError::NotFound);
        }
        self.ended.push((room.clone(), reason));
        match self.termination {
            Termination::AtOnce => self.gone(&key, None),
            Termination::WhenTold => {
                self.change(&key, |i| i.status = InstanceStatus::Terminating);
            }
            Termination::Ignored => {}
        }
        Ok(())
    }

    pub fn change(&mut self, key: &Key, edit: impl FnOnce(&mut Instance)) {
        let Some(room) = self.running.get_mut(key) else {
            return;
        };
        self.observed += 1;
        room.instance.resource_version = self.observed;
        edit(&mut room.instance);
        let event = RuntimeEvent::Changed(room.instance.clone());
        self.tell(&key.0, event);
    }

    pub fn gone(&mut self, key: &Key, exit: Option<Exit>) {
        let Some(room) = self.running.remove(key) else {
            return;
        };
        self.reserved.remove(&key.1);
        self.protected.remove(key);
        let event = RuntimeEvent::Gone {
            room: key.1.clone(),
            uid: room.instance.uid,
            exit,
        };
        self.tell(&key.0, event);
    }

    /// Like a cluster, it protects no room that is not there.
    pub fn protect(&mut self, scheduler: &SchedulerName, order: &Protection) {
        let key = |room: &RoomId| (scheduler.clone(), room.clone());
        if order.all {
            self.protected.retain(|(of, _)| of != scheduler);
        }
        for room in &order.off {
            self.protected.remove(&key(room));
        }
        let on = order.on.iter().map(key);
        let there = on.filter(|key| self.running.contains_key(key));
        self.protected.extend(there);
        self.budgets.insert(scheduler.clone(), order.number);
    }

    pub fn prepare(
        &mut self,
        scheduler: &SchedulerName,
        operation: OperationId,
    ) -> Result<Prepared, RuntimeError> {
        self.go_on_removing(scheduler)?;
        let maker = self.places.entry(scheduler.clone());
        let created = *maker.or_insert(Some(operation)) == Some(operation);
        Ok(Prepared { created })
    }

    fn go_on_removing(&mut self, scheduler: &SchedulerName) -> Result<(), RuntimeError> {
        let Some(left) = self.terminating.get_mut(scheduler) else {
            return Ok(());
        };
        if *left == 0 {
            self.terminating.remove(scheduler);
            return Ok(());
        }
        *left -= 1;
        let text = format!("namespace {scheduler} is terminating");
        Err(RuntimeError::Terminating(text.into()))
    }

    pub fn remove_place(
        &mut self,
        scheduler: &SchedulerName,
        made_by: Option<OperationId>,
    ) -> Result<(), RuntimeError> {
        let place = self.places.get(scheduler);
        if made_by.is_some() && place.is_some_and(|maker| *maker != made_by) {
            return Ok(());
        }
        if self.places.remove(scheduler).is_some() && self.removal_takes > 0 {
            let takes = self.removal_takes;
            self.terminating.insert(scheduler.clone(), takes);
        }
        let keys: Vec<Key> = self.running.keys().cloned().collect();
        for key in keys.iter().filter(|(s, _)| s == scheduler) {
            self.gone(key, None);
        }
        self.budgets.remove(scheduler);
        self.go_on_removing(scheduler)
    }

    pub fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        lines: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        let key = (scheduler.clone(), room.clone());
        let all = self.logs.get(room).cloned().unwrap_or_default();
        if !self.running.contains_key(&key) && all.is_empty() {
            return Err(RuntimeError::NotFound);
        }
        Ok(all[all.len().saturating_sub(lines)..].to_vec())
    }
}

fn address(order: &RoomOrder) -> Address {
    let specs = order
        .scheduler
        .spec
        .containers
        .iter()
        .flat_map(|c| &c.ports);
    let ports = specs.zip(order.host_ports.iter()).map(|(spec, port)| Port {
        name: spec.name.clone(),
        port: i32::from(*port),
        protocol: spec.protocol.to_uppercase(),
    });
    Address {
        host: "127.0.0.1".into(),
        ports: ports.collect(),
    }
}
