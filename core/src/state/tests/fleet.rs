//! A state machine with a toy runtime and a toy store around it, in one thread: every
//! effect is carried out at once, unless the test holds it back.

use crate::ports::*;
use crate::settings::CoreSettings;
use crate::state::*;
use std::collections::{BTreeMap, VecDeque};
use std::{sync::Arc, time::Duration};

pub(crate) struct Fleet {
    pub state: SchedulerState,
    pub settings: Arc<CoreSettings>,
    pub clock: Now,
    entropy: u128,
    callers: u64,
    /// Rooms that the toy runtime runs.
    pub running: BTreeMap<RoomId, Instance>,
    /// Creations fail with this text.
    pub creation_fails: Option<String>,
    /// Works that wait for the test to let them go on.
    pub hold: bool,
    pub held: VecDeque<(WorkId, Work)>,
    pub answers: BTreeMap<u64, Answer>,
    pub operations: BTreeMap<OperationId, OperationRecord>,
    pub stored_rooms: BTreeMap<RoomId, RoomRecord>,
    pub stored_scheduler: Option<Arc<Scheduler>>,
    pub stored_versions: Vec<Arc<Scheduler>>,
    pub stored_operator: OperatorRecord,
    pub reports: Vec<Report>,
    pub ended: bool,
    /// What forwarders were told, in order.
    pub forwarded: Vec<Arc<Forwarding>>,
    /// Most rooms that ran at one time.
    pub peak: usize,
    next_port: u16,
}

pub(crate) fn spec(replicas: i32) -> Scheduler {
    Scheduler {
        name: "arena".into(),
        game: "arena".into(),
        max_surge: "1".into(),
        rooms_replicas: replicas,
        port_range: Some(PortRange {
            start: 20000,
            end: 21000,
        }),
        spec: Spec {
            termination_grace_period: 1_000_000_000,
            containers: vec![Container {
                name: "game".into(),
                image: "game:1".into(),
                image_pull_policy: "IfNotPresent".into(),
                requests: resources(),
                limits: resources(),
                command: vec!["true".into()],
                ports: vec![ContainerPort {
                    name: "clientPort".into(),
                    protocol: "udp".into(),
                    port: 7777,
                    ..ContainerPort::default()
                }],
                ..Container::default()
            }],
            ..Spec::default()
        },
        match_allocation: Some(MatchAllocation { max_matches: 1 }),
        ..Scheduler::default()
    }
}

fn resources() -> Resources {
    Resources {
        memory: "64Mi".into(),
        cpu: "100m".into(),
    }
}

impl Fleet {
    pub fn new(settings: CoreSettings) -> Self {
        let clock = Now {
            wall: "2026-01-02T03:04:05Z".parse().unwrap(),
            mono: Mono(Duration::from_secs(1_000_000)),
        };
        let settings = Arc::new(settings);
        let state = SchedulerState::load(
            "arena".into(),
            Loaded::default(),
            settings.clone(),
            clock,
            7,
        );
        Self {
            state,
            settings,
            clock,
            entropy: 1,
            callers: 0,
            running: BTreeMap::new(),
            creation_fails: None,
            hold: false,
            held: VecDeque::new(),
            answers: BTreeMap::new(),
            operations: BTreeMap::new(),
            stored_rooms: BTreeMap::new(),
            stored_scheduler: None,
            stored_versions: Vec::new(),
            stored_operator: OperatorRecord::default(),
            reports: Vec::new(),
            ended: false,
            forwarded: Vec::new(),
            peak: 0,
            next_port: 20000,
        }
    }

    /// A scheduler that is in sync, its rooms up and ready.
    pub fn up(replicas: i32) -> Self {
        Self::up_as(spec(replicas))
    }

    pub fn up_as(scheduler: Scheduler) -> Self {
        let mut fleet = Self::new(CoreSettings::default());
        fleet
            .order(Command::CreateScheduler(Box::new(scheduler)))
            .unwrap();
        fleet.input(Input::Runtime(RuntimeEvent::Listed(vec![])));
        fleet.ping_all(PingStatus::Ready);
        fleet
    }

    /// The owner dies; the next one loads what was stored and lists the runtime.
    pub fn restart(&mut self) {
        let loaded = Loaded {
            scheduler: self.stored_scheduler.clone(),
            versions: self.stored_versions.clone(),
            rooms: self.stored_rooms.values().cloned().collect(),
            operations: self
                .operations
                .values()
                .filter(|o| !o.status.is_final())
                .cloned()
                .collect(),
            ended: Vec::new(),
            operator: self.stored_operator,
            seq: Seq(0),
        };
        self.held.clear();
        self.hold = false;
        self.entropy += 1;
        let settings = self.settings.clone();
        self.state =
            SchedulerState::load("arena".into(), loaded, settings, self.clock, self.entropy);
        self.input(Input::Runtime(RuntimeEvent::Listed(
            self.running.values().cloned().collect(),
        )));
    }

    pub fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.entropy += 1;
            let decision = self.state.decide(input, self.clock, self.entropy);
            self.reports.extend(decision.reports);
            for change in decision.changes {
                self.store(change);
            }
            for effect in decision.effects {
                match effect {
                    Effect::Reply { caller, answer } => {
                        self.answers.insert(caller.0, answer);
                    }
                    Effect::Run { id, work, .. } if self.hold => self.held.push_back((id, work)),
                    Effect::Run { id, work, .. } => inputs.extend(self.work(id, work)),
                    Effect::Abandon(_) => {}
                    Effect::Forward(event) => self.forwarded.push(event),
                    Effect::Ended => self.ended = true,
                }
            }
            self.peak = self.peak.max(self.running.len());
        }
    }

    /// Carries one held piece of work out.
    pub fn release_one(&mut self) {
        if let Some((id, work)) = self.held.pop_front() {
            for input in self.work(id, work) {
                self.input(input);
            }
        }
    }

    fn work(&mut self, id: WorkId, work: Work) -> Vec<Input> {
        let done = |result| Input::WorkDone { id, result };
        match work {
            Work::ReservePorts { .. } => {
                self.next_port += 1;
                vec![done(WorkResult::Ports(vec![self.next_port].into()))]
            }
            Work::CreateRoom(order) => match &self.creation_fails {
                Some(why) => vec![done(WorkResult::Failed(RuntimeError::Invalid(why.clone())))],
                None => {
                    let port = Port {
                        name: "clientPort".into(),
                        port: i32::from(order.host_ports[0]),
                        protocol: "UDP".into(),
                    };
                    let made = Instance {
                        room: order.room.clone(),
                        uid: format!("uid-{}", order.room),
                        version: order.scheduler.version().clone(),
                        validation: order.validation,
                        status: InstanceStatus::Ready,
                        description: String::new(),
                        restarting: None,
                        address: Some(Arc::new(Address {
                            host: "127.0.0.1".into(),
                            ports: vec![port],
                        })),
                        resource_version: 1,
                    };
                    let instance = self.running.entry(order.room).or_insert(made).clone();
                    vec![done(WorkResult::Created(instance))]
                }
            },
            Work::TerminateRoom { room, .. } => match self.running.remove(&room) {
                Some(instance) => vec![
                    done(WorkResult::Done),
                    Input::Runtime(RuntimeEvent::Gone {
                        room,
                        uid: instance.uid,
                        exit: None,
                    }),
                ],
                None => vec![done(WorkResult::Failed(RuntimeError::NotFound))],
            },
            Work::Prepare(_) | Work::RemovePlace | Work::ReleasePorts { .. } => {
                vec![done(WorkResult::Done)]
            }
        }
    }

    fn store(&mut self, change: Change) {
        match change {
            Change::CreateScheduler(s) => {
                assert!(self.stored_scheduler.is_none(), "created twice");
                self.stored_versions.push(s.clone());
                self.stored_scheduler = Some(s);
            }
            Change::UpdateScheduler(s) => self.stored_scheduler = Some(s),
            Change::CreateVersion { scheduler, .. } => self.stored_versions.push(scheduler),
            Change::UpdateVersion(s) => {
                let same = |v: &&mut Arc<Scheduler>| v.version() == s.version();
                if let Some(stored) = self.stored_versions.iter_mut().find(same) {
                    *stored = s;
                }
            }
            Change::DeleteScheduler { keep } => {
                self.stored_scheduler = None;
                self.stored_versions.clear();
                self.stored_rooms.clear();
                self.operations.retain(|id, _| *id == keep);
            }
            Change::PutRoom(room) => {
                self.stored_rooms.insert(room.id.clone(), *room);
            }
            Change::DeleteRoom(id) => {
                self.stored_rooms.remove(&id);
            }
            Change::TouchRooms(_) => {}
            Change::DeleteVersion(version) => {
                self.stored_versions.retain(|v| *v.version() != version)
            }
            Change::PutOperator(record) => self.stored_operator = record,
            Change::PutOperation(record) => {
                self.operations.insert(record.id, *record);
            }
            Change::RenewOperationLease { operation, until } => {
                if let Some(record) = self.operations.get_mut(&operation) {
                    record.lease_until = Some(until);
                }
            }
            Change::DeleteOperations(ids) => self.operations.retain(|id, _| !ids.contains(id)),
        }
    }

    pub fn order(&mut self, command: Command) -> Answer {
        self.callers += 1;
        let caller = self.callers;
        self.input(Input::Command {
            caller: Caller(caller),
            command,
        });
        self.answers
            .remove(&caller)
            .expect("every command is answered")
    }

    pub fn ping(&mut self, room: &RoomId, status: PingStatus, matches: i64) -> Answer {
        self.callers += 1;
        let caller = self.callers;
        let ping = Ping {
            room: room.clone(),
            status,
            running_matches: matches,
            metadata: "".into(),
        };
        self.input(Input::Ping {
            caller: Caller(caller),
            ping,
        });
        self.answers
            .remove(&caller)
            .expect("every ping is answered")
    }

    pub fn ping_all(&mut self, status: PingStatus) {
        for room in self.running.keys().cloned().collect::<Vec<_>>() {
            let _ = self.ping(&room, status, 0);
        }
    }

    /// Lets time pass, waking the state machine whenever it asked for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock.mono.plus(time);
        while let Some(wake) = self.state.next_wake().filter(|wake| *wake <= end) {
            assert!(
                wake > self.clock.mono || self.advance_to(wake),
                "a wake-up that never ends"
            );
            self.advance_to(wake);
            self.input(Input::Wake);
            assert!(
                self.state
                    .next_wake()
                    .is_none_or(|next| next > self.clock.mono),
                "asks to be woken now, again and again: {:?}",
                self.state.view()
            );
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, moment: Mono) -> bool {
        let step = moment.since(self.clock.mono);
        self.clock.mono = self.clock.mono.plus(step);
        self.clock.wall = self.clock.wall.saturating_add(step).unwrap();
        true
    }

    /// A room's process ends.
    pub fn crash(&mut self, room: &RoomId, code: i32) {
        let instance = self.running.remove(room).expect("it runs");
        let exit = Exit {
            code: Some(code),
            log_tail: vec!["bye".into()],
            ..Exit::default()
        };
        let (room, uid) = (room.clone(), instance.uid);
        self.input(Input::Runtime(RuntimeEvent::Gone {
            room,
            uid,
            exit: Some(exit),
        }));
    }

    pub fn rooms(&self) -> Vec<RoomId> {
        self.running.keys().cloned().collect()
    }
    pub fn count(&self, status: RoomStatus) -> u64 {
        self.state.room_counts().of(status)
    }
    pub fn operation(&self, id: OperationId) -> &OperationRecord {
        &self.operations[&id]
    }
    pub fn operations_of(&self, name: &str) -> Vec<&OperationRecord> {
        self.operations
            .values()
            .filter(|o| o.definition.name() == name)
            .collect()
    }
    pub fn scheduler_state(&self) -> String {
        self.state.view().state
    }
}
