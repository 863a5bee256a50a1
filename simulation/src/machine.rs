//! The runtime of the simulated world: rooms without processes, one book of host ports, and a watch
//! whose events wait until they are delivered.

use maestro_core::domain::*;
use maestro_core::ports::*;
use maestro_core::state::{Work, WorkResult};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// An order to end a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Termination {
    pub room: RoomId,
    pub grace: Duration,
    pub reason: RemovalReason,
}

#[derive(Default)]
pub struct Machine {
    pub running: BTreeMap<RoomId, Instance>,
    /// Ports by the room that they are reserved for, including those of running rooms.
    pub reserved: BTreeMap<RoomId, Arc<[u16]>>,
    /// Accepted creations, oldest first, including repeated ones.
    pub orders: Vec<RoomOrder>,
    /// Orders to end a room, oldest first, including repeated ones.
    pub terminations: Vec<Termination>,
    /// The number of calls by kind, including failed ones.
    pub calls: BTreeMap<&'static str, usize>,
    /// The place of the rooms, with the operation that made it; `Some(None)` if it was there before.
    pub place: Option<Option<OperationId>>,
    /// How often the removal of the place has to be asked for before it is gone.
    pub removal_takes: u32,
    /// The answers that are left until the place is gone.
    pub terminating: u32,
    /// Rooms that are protected from evictions, and the number in the budget.
    pub protected: BTreeSet<RoomId>,
    pub budget: usize,
    /// If set, creations fail with this text.
    pub creation_fails: Option<String>,
    /// What the platform shows of the scheduler.
    pub shown: Arc<Shown>,
    /// The place has the rights of a runtime.
    pub has_rights: bool,
    /// Every call on the platform is refused so.
    pub platform_fault: Option<PlatformFault>,
    /// Terminations only begin, and end by [`Machine::finish_ending`].
    pub slow_endings: bool,
    /// New instances have no address before [`Machine::place`].
    pub unplaced: bool,
    /// The highest number of rooms that ran at the same time.
    pub peak: usize,
    pub(crate) events: VecDeque<RuntimeEvent>,
    ending: BTreeSet<RoomId>,
    started: u64,
    observed: u64,
}

/// The first port for documents that name no range.
const FIRST_PORT: u16 = 20_000;

impl Machine {
    /// Carries out a call, and returns its result.
    pub fn call(&mut self, work: &Work) -> WorkResult {
        *self.calls.entry(work.kind()).or_default() += 1;
        match work {
            Work::ReservePorts { room, scheduler } => self.reserve(room, scheduler),
            Work::ReleasePorts { room } => {
                // Releases only a reservation: a running room keeps its ports.
                if !self.running.contains_key(room) {
                    self.reserved.remove(room);
                }
                WorkResult::Done
            }
            Work::CreateRoom(order) => self.create(order),
            Work::TerminateRoom {
                room,
                uid,
                grace,
                reason,
            } => self.terminate(room, uid.as_deref(), *grace, *reason),
            Work::Protect(order) => {
                if order.all {
                    self.protected.clear();
                }
                for room in &order.off {
                    self.protected.remove(room);
                }
                let on = order.on.iter();
                let there = on.filter(|room| self.running.contains_key(*room));
                self.protected.extend(there.cloned());
                self.budget = order.number;
                WorkResult::Done
            }
            Work::RemovePlace { made_by } => self.remove_place(*made_by),
            Work::Prepare { operation, .. } => self.prepare(*operation),
            Work::EnsureRuntime { operation } => self.ensure_runtime(*operation),
            Work::Show(shown) => self.show(shown),
        }
    }

    fn prepare(&mut self, operation: OperationId) -> WorkResult {
        if let Some(result) = self.still_terminating() {
            return result;
        }
        let created = *self.place.get_or_insert(Some(operation)) == Some(operation);
        WorkResult::Prepared(Prepared { created })
    }

    fn ensure_runtime(&mut self, operation: OperationId) -> WorkResult {
        if let Some(fault) = self.platform_fault {
            return WorkResult::Refused(PlatformError::new(fault, "the platform refuses"));
        }
        match self.prepare(operation) {
            WorkResult::Failed(why) => {
                let fault = PlatformFault::Terminating;
                WorkResult::Refused(PlatformError::new(fault, why.to_string()))
            }
            prepared => {
                self.has_rights = true;
                prepared
            }
        }
    }

    fn show(&mut self, shown: &Arc<Shown>) -> WorkResult {
        if let Some(fault) = self.platform_fault {
            return WorkResult::Refused(PlatformError::new(fault, "the platform refuses"));
        }
        self.has_rights |= shown.is_runtime;
        self.shown = shown.clone();
        WorkResult::Done
    }

    fn remove_place(&mut self, made_by: Option<OperationId>) -> WorkResult {
        if made_by.is_some() && self.place.is_some_and(|maker| maker != made_by) {
            return WorkResult::Done;
        }
        for room in self.running.keys().cloned().collect::<Vec<_>>() {
            self.gone(&room, None);
        }
        self.shown = Arc::default();
        self.has_rights = false;
        if self.place.take().is_some() {
            self.terminating = self.removal_takes;
        }
        self.still_terminating().unwrap_or(WorkResult::Done)
    }

    /// A namespace is gone some time after its removal was ordered.
    fn still_terminating(&mut self) -> Option<WorkResult> {
        self.terminating = self.terminating.checked_sub(1)?;
        let why = RuntimeError::Terminating("its place is terminating".into());
        Some(WorkResult::Failed(why))
    }

    fn reserve(&mut self, room: &RoomId, scheduler: &Scheduler) -> WorkResult {
        if let Some(ports) = self.reserved.get(room) {
            return WorkResult::Ports(ports.clone());
        }
        let wanted = scheduler
            .spec
            .containers
            .iter()
            .map(|c| c.ports.len())
            .sum();
        let range = scheduler.port_range.map(|r| (r.start, r.end));
        let (start, end) = range.unwrap_or((i32::from(FIRST_PORT), i32::from(u16::MAX)));
        let taken: BTreeSet<u16> = self
            .reserved
            .values()
            .flat_map(|p| p.iter().copied())
            .collect();
        let all = u16::try_from(start).unwrap_or(0)..=u16::try_from(end).unwrap_or(u16::MAX);
        let ports: Vec<u16> = all.filter(|p| !taken.contains(p)).take(wanted).collect();
        if ports.len() < wanted {
            let text = format!("no {wanted} free ports in {start}-{end}");
            return WorkResult::Failed(RuntimeError::Exhausted(text.into()));
        }
        let ports: Arc<[u16]> = ports.into();
        self.reserved.insert(room.clone(), ports.clone());
        WorkResult::Ports(ports)
    }

    /// Creates a room, or finds it if it is running. Refuses if another room has one of the ports
    /// by now: the book of ports decides, whatever an older intent says.
    fn create(&mut self, order: &RoomOrder) -> WorkResult {
        if let Some(why) = &self.creation_fails {
            return WorkResult::Failed(RuntimeError::Invalid(why.as_str().into()));
        }
        if let Some(there) = self.running.get(&order.room) {
            self.orders.push(order.clone());
            return WorkResult::Created(there.clone());
        }
        let conflict = self.reserved.iter().find(|(other, ports)| {
            **other != order.room && ports.iter().any(|port| order.host_ports.contains(port))
        });
        if let Some((other, _)) = conflict {
            let text = format!("{other} has ports of {}", order.room);
            return WorkResult::Failed(RuntimeError::Exhausted(text.into()));
        }
        self.orders.push(order.clone());
        WorkResult::Created(self.make(order))
    }

    /// Starts a room, whether this scheduler ordered it or not.
    pub fn make(&mut self, order: &RoomOrder) -> Instance {
        self.reserved
            .insert(order.room.clone(), order.host_ports.clone());
        self.started += 1;
        self.observed += 1;
        let instance = Instance {
            room: order.room.clone(),
            uid: format!("uid-{}", self.started),
            version: order.scheduler.version().clone(),
            validation: order.validation,
            status: InstanceStatus::Ready,
            description: String::new(),
            restarting: None,
            trouble: None,
            address: (!self.unplaced).then(|| Arc::new(address_of(order))),
            resource_version: self.observed,
        };
        self.running.insert(order.room.clone(), instance.clone());
        self.peak = self.peak.max(self.running.len());
        self.events
            .push_back(RuntimeEvent::Changed(instance.clone()));
        instance
    }

    fn terminate(
        &mut self,
        room: &RoomId,
        uid: Option<&str>,
        grace: Duration,
        reason: RemovalReason,
    ) -> WorkResult {
        let known = self.running.get(room);
        // A namesake is not this scheduler's room.
        if known.is_none_or(|i| uid.is_some_and(|uid| i.uid != uid)) {
            return WorkResult::Failed(RuntimeError::NotFound);
        }
        self.terminations.push(Termination {
            room: room.clone(),
            grace,
            reason,
        });
        if self.slow_endings {
            self.ending.insert(room.clone());
            self.change(room, InstanceStatus::Terminating);
        } else {
            self.gone(room, None);
        }
        WorkResult::Done
    }

    /// The instance changes, and the watch reports it.
    pub fn change(&mut self, room: &RoomId, status: InstanceStatus) {
        self.observe(room, |instance| instance.status = status);
    }

    /// Players can reach the room from now on.
    pub fn place(&mut self, room: &RoomId) {
        let ports = self.reserved.get(room).cloned().unwrap_or_default();
        self.observe(room, |instance| {
            instance.address = Some(Arc::new(address("", &ports)));
        });
    }

    /// Changes an instance in any way; the watch reports it.
    pub fn observe(&mut self, room: &RoomId, edit: impl FnOnce(&mut Instance)) {
        self.observed += 1;
        if let Some(instance) = self.running.get_mut(room) {
            edit(instance);
            instance.resource_version = self.observed;
            let event = RuntimeEvent::Changed(instance.clone());
            self.events.push_back(event);
        }
    }

    /// The room ends: its ports are free, and the watch reports it.
    pub fn gone(&mut self, room: &RoomId, exit: Option<Exit>) {
        if let Some(uid) = self.vanish(room) {
            let room = room.clone();
            self.events
                .push_back(RuntimeEvent::Gone { room, uid, exit });
        }
    }

    /// The room ends, and no watch reports it.
    pub fn vanish(&mut self, room: &RoomId) -> Option<String> {
        self.ending.remove(room);
        let instance = self.running.remove(room)?;
        self.reserved.remove(room);
        self.protected.remove(room);
        Some(instance.uid)
    }

    /// Another instance takes a room's name. Without `heard`, the watch reports only the new one
    /// and not the end of the old one.
    pub fn replace_by_namesake(&mut self, room: &RoomId, heard: bool) {
        let Some(mut instance) = self.running.get(room).cloned() else {
            return;
        };
        if heard {
            self.gone(room, None);
        }
        self.started += 1;
        self.observed += 1;
        instance.uid = format!("uid-{}", self.started);
        instance.resource_version = self.observed;
        self.running.insert(room.clone(), instance.clone());
        self.events.push_back(RuntimeEvent::Changed(instance));
    }

    /// Completes the termination of a room.
    pub fn finish_ending(&mut self) -> bool {
        let room = self.ending.pop_first();
        room.inspect(|room| self.gone(room, None)).is_some()
    }

    /// The watch has a gap: undelivered events are lost, and a new list follows.
    pub fn relist(&mut self) {
        self.events.clear();
        let all = self.running.values().cloned().collect();
        self.events.push_back(RuntimeEvent::Listed(all));
    }

    /// Checks that no two rooms share a host port.
    pub(crate) fn check_ports(&self) {
        let mut holders = BTreeMap::new();
        for (room, ports) in &self.reserved {
            for port in ports.iter() {
                if let Some(other) = holders.insert(port, room) {
                    panic!("{room} and {other} share port {port}");
                }
            }
        }
    }
}

fn address_of(order: &RoomOrder) -> Address {
    let containers = &order.scheduler.spec.containers;
    let name = containers.iter().flat_map(|c| &c.ports).next();
    let name = name.map(|p| p.name.as_str()).unwrap_or_default();
    address(name, &order.host_ports)
}

fn address(name: &str, ports: &[u16]) -> Address {
    let port = |port: &u16| Port {
        name: name.to_owned(),
        port: i32::from(*port),
        protocol: "UDP".into(),
    };
    Address {
        host: "127.0.0.1".into(),
        ports: ports.iter().map(port).collect(),
    }
}
