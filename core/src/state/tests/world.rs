//! A scheduler in a hostile world: its writes lag, its calls fail, hang and come late, its
//! watch has gaps, its rooms crash, and its owner dies at any moment.

use super::fleet::spec;
use crate::ports::*;
use crate::settings::CoreSettings;
use crate::state::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::{sync::Arc, time::Duration};

/// What becomes of a call on the runtime.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Works,
    Invalid,
    Exhausted,
    Unavailable,
    /// Done, and reported as failed.
    DoneUnavailable,
    /// Its deadline passed before anything was done.
    Unknown,
    /// Its deadline passed, and it was done.
    DoneUnknown,
    /// Its deadline passed, and it is done later.
    LateUnknown,
}

#[derive(Clone)]
pub(super) struct Stored {
    pub scheduler: Option<Arc<Scheduler>>,
    pub versions: BTreeMap<SchedulerVersion, Arc<Scheduler>>,
    pub rooms: BTreeMap<RoomId, RoomRecord>,
    pub operations: BTreeMap<OperationId, (u64, OperationRecord)>,
    operator: OperatorRecord,
    came: u64,
}

impl Stored {
    fn new() -> Self {
        Self {
            scheduler: None,
            versions: BTreeMap::new(),
            rooms: BTreeMap::new(),
            operations: BTreeMap::new(),
            operator: OperatorRecord::default(),
            came: 0,
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::CreateScheduler(s) => {
                assert!(self.scheduler.is_none(), "created twice");
                self.versions.insert(s.version().clone(), s.clone());
                self.scheduler = Some(s);
            }
            Change::UpdateScheduler(s) => {
                assert!(self.scheduler.is_some(), "updates what is not there");
                self.scheduler = Some(s);
            }
            Change::CreateVersion { scheduler, .. } => {
                let version = scheduler.version().clone();
                self.versions.entry(version).or_insert(scheduler);
            }
            Change::UpdateVersion(document) => {
                let stored = self.versions.get_mut(document.version());
                *stored.expect("updates a version that is not there") = document;
            }
            Change::DeleteScheduler { keep } => {
                self.scheduler = None;
                self.versions.clear();
                self.rooms.clear();
                self.operator = OperatorRecord::default();
                self.operations.retain(|id, _| *id == keep);
            }
            Change::PutRoom(room) => {
                assert!(self.scheduler.is_some(), "a room of no scheduler");
                self.rooms.insert(room.id.clone(), *room);
            }
            Change::DeleteRoom(id) => drop(self.rooms.remove(&id)),
            Change::DeleteVersion(version) => drop(self.versions.remove(&version)),
            Change::PutOperator(record) => self.operator = record,
            Change::TouchRooms(_) => panic!("steady pings go another way"),
            Change::PutOperation(record) => self.put(*record),
            Change::RenewOperationLease { operation, until } => {
                if let Some((_, record)) = self.operations.get_mut(&operation) {
                    record.lease_until = Some(until);
                }
            }
            Change::DeleteOperations(ids) => self.operations.retain(|id, _| !ids.contains(id)),
        }
    }

    pub fn put(&mut self, record: OperationRecord) {
        self.came += 1;
        let old = self.operations.get(&record.id);
        let came = old.map_or(self.came, |(came, _)| *came);
        if let Some((_, old)) = old {
            let again = old.status.is_final() && !record.status.is_final();
            assert!(!again, "{} goes on after its end", record.id);
        }
        self.operations.insert(record.id, (came, record));
    }

    fn touch(&mut self, touch: &RoomTouch) {
        if let Some(room) = self.rooms.get_mut(&touch.room) {
            room.last_ping_at = touch.last_ping_at;
            room.running_matches = touch.running_matches;
            room.ping_status = touch.ping_status;
        }
    }

    fn loaded(&self) -> Loaded {
        let mut open: Vec<_> = self.operations.values().collect();
        open.retain(|(_, o)| !o.status.is_final());
        open.sort_by_key(|(came, o)| match o.priority {
            true => (0, u64::MAX - came),
            false => (1, *came),
        });
        let all = self.operations.values().map(|(_, o)| o);
        let ended = all.filter(|o| o.status.is_final());
        let mut ended: Vec<_> = ended.map(EndedOperation::of).collect();
        ended.sort_by_key(|e| e.ended_at);
        Loaded {
            scheduler: self.scheduler.clone(),
            versions: self.versions.values().cloned().collect(),
            rooms: self.rooms.values().cloned().collect(),
            operations: open.into_iter().map(|(_, o)| o.clone()).collect(),
            ended,
            operator: self.operator,
            seq: Seq(0),
        }
    }
}

/// A write that is on its way, and what waits for it.
struct Batch {
    changes: Vec<Change>,
    touches: Vec<RoomTouch>,
    effects: Vec<Effect>,
}

/// An allocation that was decided.
struct Held {
    at: Mono,
    /// Its caller knows of it, or will: the reply is durable.
    acknowledged: bool,
}

pub(super) struct World {
    pub state: SchedulerState,
    pub settings: Arc<CoreSettings>,
    pub clock: Now,
    entropy: u128,
    callers: u64,
    /// What is durable.
    pub stored: Stored,
    /// What is durable once all writes have arrived.
    pub written: Stored,
    batches: VecDeque<Batch>,
    pub works: Vec<(WorkId, Work)>,
    answered: VecDeque<(WorkId, WorkResult)>,
    /// Calls that nobody waits for any more and that take effect later.
    late: Vec<Work>,
    pub runtime: BTreeMap<RoomId, Instance>,
    ending: BTreeSet<RoomId>,
    events: VecDeque<RuntimeEvent>,
    held: BTreeMap<RoomId, Held>,
    /// What the shell may answer by itself, and what it has not told of yet.
    board: BTreeMap<RoomId, Steady>,
    pinged: Vec<SteadyPing>,
    /// The last decision was not all.
    more: bool,
    /// Terminations only begin; they end when told.
    pub slow_endings: bool,
    next_port: u16,
    next_uid: u64,
    observed: u64,
    /// Rooms there may be at most, by all that was ever wanted.
    pub allowed: u64,
}

impl World {
    pub fn new(max_matches: i32, event_driven: bool) -> Self {
        Self::in_pieces(max_matches, event_driven, 256)
    }

    /// Lists and wake-ups that take several turns.
    pub fn in_pieces(max_matches: i32, event_driven: bool, rooms_per_turn: usize) -> Self {
        let clock = Now {
            wall: "2026-01-02T03:04:05Z".parse().unwrap(),
            mono: Mono(Duration::from_secs(1_000_000)),
        };
        let settings = Arc::new(CoreSettings {
            event_driven,
            drain_deadline: Some(Duration::from_secs(600)),
            add_batch: 2,
            history_limit: 12,
            queue_limit: 8,
            rooms_per_turn,
            ..CoreSettings::default()
        });
        let stored = Stored::new();
        let loaded = stored.loaded();
        let name = SchedulerName::from("arena");
        let mut world = Self {
            state: SchedulerState::load(name, loaded, settings.clone(), clock, 7),
            settings,
            clock,
            entropy: 1,
            callers: 0,
            written: stored.clone(),
            stored,
            batches: VecDeque::new(),
            works: Vec::new(),
            answered: VecDeque::new(),
            late: Vec::new(),
            runtime: BTreeMap::new(),
            ending: BTreeSet::new(),
            events: VecDeque::from([RuntimeEvent::Listed(vec![])]),
            held: BTreeMap::new(),
            board: BTreeMap::new(),
            pinged: Vec::new(),
            more: false,
            slow_endings: false,
            next_port: 20_000,
            next_uid: 0,
            observed: 0,
            allowed: 0,
        };
        world.create(3, max_matches);
        world
    }

    pub fn create(&mut self, replicas: i32, max_matches: i32) {
        let mut document = spec(replicas);
        document.match_allocation = Some(MatchAllocation { max_matches });
        self.command(Command::CreateScheduler(Box::new(document)));
    }

    // What happens to it.

    pub fn command(&mut self, command: Command) {
        self.callers += 1;
        let caller = Caller(self.callers);
        self.decide(Input::Command { caller, command });
    }

    pub fn ping(&mut self, room: &RoomId, status: PingStatus, running_matches: i64) {
        // A room that says that it plays, or ends, has taken up its allocation; one that is
        // ready again gives it back when the hold time is over.
        if status != PingStatus::Ready || self.hold_is_over(room) {
            self.held.remove(room);
        }
        self.callers += 1;
        let said = Steady {
            status,
            running_matches,
        };
        let posted = self.board.get(room) == Some(&said);
        if posted && self.callers.is_multiple_of(2) {
            return self.pinged.push(SteadyPing {
                room: room.clone(),
                at: self.clock,
                metadata: "".into(),
            });
        }
        let ping = Ping {
            room: room.clone(),
            status,
            running_matches,
            metadata: "".into(),
        };
        let caller = Caller(self.callers);
        let before = self.state.rooms().get(room.as_str()).map(Room::status);
        self.decide(Input::Ping { caller, ping });
        if posted {
            // What may be answered from the board changes nothing when it is looked at.
            let after = self.state.rooms().get(room.as_str()).map(Room::status);
            assert_eq!(after, before, "{room} was posted with {said:?}");
            assert_eq!(self.board.get(room), Some(&said), "{room}");
            let changes = self.batches.back().map(|b| b.changes.as_slice());
            let written = |c: &Change| matches!(c, Change::PutRoom(r) if r.id == *room);
            assert!(!changes.unwrap_or_default().iter().any(written), "{room}");
        }
    }

    /// The shell tells of the pings that it answered.
    fn tell_pings(&mut self) {
        if !self.pinged.is_empty() {
            let pinged = std::mem::take(&mut self.pinged);
            self.decide(Input::Pinged(pinged));
        }
    }

    /// The next piece of what was too long for one turn.
    pub fn go_on(&mut self) -> bool {
        let more = std::mem::take(&mut self.more);
        if more {
            self.decide(Input::Continue);
        }
        more
    }

    pub fn fresh_number(&mut self) -> u64 {
        self.callers += 1;
        self.callers
    }

    fn hold_is_over(&self, room: &RoomId) -> bool {
        let held = self.held.get(room);
        held.is_some_and(|h| self.clock.mono.since(h.at) > self.settings.allocation_hold)
    }

    pub fn pushed(&mut self, record: OperationRecord) {
        self.stored.put(record.clone());
        self.written.put(record.clone());
        self.decide(Input::Pushed(Box::new(record)));
    }

    pub fn cancel_requested(&mut self, id: OperationId) {
        self.decide(Input::CancelRequested(id));
    }

    /// The first write that is on its way arrives, and what waited for it is done.
    pub fn commit(&mut self) -> bool {
        let Some(batch) = self.batches.pop_front() else {
            return false;
        };
        for change in batch.changes {
            self.stored.apply(change);
        }
        batch.touches.iter().for_each(|t| self.stored.touch(t));
        self.go_on();
        let mut ended = false;
        for effect in batch.effects {
            match effect {
                Effect::Reply { answer, .. } => self.answered(&answer),
                Effect::Run { id, work, .. } => self.given(id, work),
                Effect::Abandon(_) | Effect::Forward(_) => {}
                Effect::Ended => ended = true,
            }
        }
        if ended {
            self.restart();
        }
        true
    }

    pub fn commit_all(&mut self) {
        while self.commit() {}
    }

    fn answered(&mut self, answer: &Answer) {
        if let Ok(Reply::Allocated { room, .. }) = answer
            && let Some(held) = self.held.get_mut(room)
        {
            held.acknowledged = true;
        }
    }

    fn allocated(&mut self, room: &RoomId) {
        let held = Held {
            at: self.clock.mono,
            acknowledged: false,
        };
        let twice = self.held.insert(room.clone(), held);
        assert!(twice.is_none(), "{room} was given to two callers");
    }

    fn given(&mut self, id: WorkId, work: Work) {
        match &work {
            Work::CreateRoom(order) => {
                let row = self.stored.rooms.get(&order.room);
                let row = row.expect("its row is durable before a room is made");
                assert_eq!(row.host_ports, order.host_ports);
            }
            Work::TerminateRoom { room, .. } => {
                let row = self.stored.rooms.get(room);
                assert!(
                    row.is_none_or(|row| row.removal.is_some()),
                    "{room} is told to end before that is durable"
                );
            }
            _ => {}
        }
        self.works.push((id, work));
    }

    /// One call that was given out comes to its end.
    pub fn work(&mut self, index: usize, outcome: Outcome) -> bool {
        if self.works.is_empty() {
            return false;
        }
        let (id, work) = self.works.remove(index % self.works.len());
        let unavailable = || WorkResult::Failed(RuntimeError::Unavailable("away".into()));
        let unknown = || WorkResult::Unknown("took too long".into());
        let result = match outcome {
            Outcome::Works => self.carry_out(&work),
            Outcome::Invalid => WorkResult::Failed(RuntimeError::Invalid("no".into())),
            Outcome::Exhausted => WorkResult::Failed(RuntimeError::Exhausted("full".into())),
            Outcome::Unavailable => unavailable(),
            Outcome::Unknown => unknown(),
            Outcome::DoneUnavailable => {
                self.carry_out(&work);
                unavailable()
            }
            Outcome::DoneUnknown => {
                self.carry_out(&work);
                unknown()
            }
            Outcome::LateUnknown => {
                self.late.push(work);
                unknown()
            }
        };
        self.answered.push_back((id, result.clone()));
        if self.answered.len() > 4 {
            self.answered.pop_front();
        }
        self.decide(Input::WorkDone { id, result });
        true
    }

    /// A call that nobody waits for takes effect.
    pub fn late(&mut self, index: usize) {
        if !self.late.is_empty() {
            let work = self.late.remove(index % self.late.len());
            self.carry_out(&work);
        }
    }

    /// Index of the late call that makes this room.
    pub fn late_creation_of(&self, room: &RoomId) -> usize {
        let makes = |w: &Work| matches!(w, Work::CreateRoom(order) if order.room == *room);
        self.late.iter().position(makes).expect("it was being made")
    }

    /// A result is reported once more.
    pub fn repeat_result(&mut self, index: usize) {
        if !self.answered.is_empty() {
            let (id, result) = self.answered[index % self.answered.len()].clone();
            let stale = self.state.stale_results();
            self.decide(Input::WorkDone { id, result });
            assert_eq!(self.state.stale_results(), stale + 1);
        }
    }

    fn carry_out(&mut self, work: &Work) -> WorkResult {
        match work {
            Work::ReservePorts { .. } => {
                self.next_port += 1;
                WorkResult::Ports(vec![self.next_port].into())
            }
            Work::CreateRoom(order) => WorkResult::Created(self.make(order)),
            Work::TerminateRoom { room, uid, .. } => {
                let known = self.runtime.get(room);
                let ours = known.is_some_and(|i| uid.as_ref().is_none_or(|uid| i.uid == *uid));
                if !ours {
                    return WorkResult::Failed(RuntimeError::NotFound);
                }
                if self.slow_endings {
                    self.ending.insert(room.clone());
                    self.change(room, InstanceStatus::Terminating);
                } else {
                    self.gone(room, None);
                }
                WorkResult::Done
            }
            Work::RemovePlace => {
                for room in self.runtime.keys().cloned().collect::<Vec<_>>() {
                    self.gone(&room, None);
                }
                WorkResult::Done
            }
            Work::Prepare(_) | Work::ReleasePorts { .. } => WorkResult::Done,
        }
    }

    fn make(&mut self, order: &RoomOrder) -> Instance {
        if let Some(there) = self.runtime.get(&order.room) {
            return there.clone();
        }
        self.next_uid += 1;
        self.observed += 1;
        let instance = Instance {
            room: order.room.clone(),
            uid: format!("uid-{}", self.next_uid),
            version: order.scheduler.version().clone(),
            validation: order.validation,
            status: InstanceStatus::Ready,
            description: String::new(),
            restarting: None,
            address: Some(Arc::new(Address {
                host: "127.0.0.1".into(),
                ports: vec![],
            })),
            resource_version: self.observed,
        };
        self.runtime.insert(order.room.clone(), instance.clone());
        self.events
            .push_back(RuntimeEvent::Changed(instance.clone()));
        instance
    }

    pub fn change(&mut self, room: &RoomId, status: InstanceStatus) {
        self.observed += 1;
        if let Some(instance) = self.runtime.get_mut(room) {
            instance.status = status;
            instance.resource_version = self.observed;
            let event = RuntimeEvent::Changed(instance.clone());
            self.events.push_back(event);
        }
    }

    pub fn gone(&mut self, room: &RoomId, exit: Option<Exit>) {
        self.ending.remove(room);
        if let Some(instance) = self.runtime.remove(room) {
            let (room, uid) = (room.clone(), instance.uid);
            self.events
                .push_back(RuntimeEvent::Gone { room, uid, exit });
        }
    }

    /// Another instance takes a room's name; only what came after it may be heard.
    pub fn replace_by_namesake(&mut self, room: &RoomId, heard: bool) {
        let Some(mut instance) = self.runtime.get(room).cloned() else {
            return;
        };
        if heard {
            self.gone(room, None);
        }
        self.next_uid += 1;
        self.observed += 1;
        instance.uid = format!("uid-{}", self.next_uid);
        instance.resource_version = self.observed;
        self.runtime.insert(room.clone(), instance.clone());
        self.events.push_back(RuntimeEvent::Changed(instance));
        self.allowed += 1;
    }

    /// Somebody else's leftover appears.
    pub fn stranger(&mut self, number: u8) {
        let order = RoomOrder {
            room: format!("arena-stranger-{number}").into(),
            scheduler: Arc::new(Scheduler {
                spec: Spec {
                    version: SchedulerVersion::initial(),
                    ..Spec::default()
                },
                ..Scheduler::default()
            }),
            validation: number.is_multiple_of(4),
            host_ports: [].into(),
        };
        self.make(&order);
        self.allowed += 1;
    }

    pub fn finish_ending(&mut self) {
        if let Some(room) = self.ending.pop_first() {
            self.gone(&room, None);
        }
    }

    /// The next event of the watch is heard.
    pub fn event(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else {
            return false;
        };
        self.heard(&event);
        self.decide(Input::Runtime(event));
        true
    }

    /// An allocation ends when the room's instance does, or is not ready any more.
    fn heard(&mut self, event: &RuntimeEvent) {
        match event {
            RuntimeEvent::Gone { room, .. } => drop(self.held.remove(room)),
            RuntimeEvent::Changed(instance) => self.instance_heard(instance),
            RuntimeEvent::Listed(instances) => {
                instances.iter().for_each(|i| self.instance_heard(i));
            }
        }
    }

    fn instance_heard(&mut self, instance: &Instance) {
        if instance.status != InstanceStatus::Ready || self.hold_is_over(&instance.room) {
            self.held.remove(&instance.room);
        }
    }

    /// The watch has a gap: what was not heard is lost, and a list comes.
    pub fn relist(&mut self) {
        self.events.clear();
        let all = self.runtime.values().cloned().collect();
        self.events.push_back(RuntimeEvent::Listed(all));
    }

    /// A list that was true once, or is not complete: another follows.
    pub fn wrong_list(&mut self, missing: usize) {
        let mut some: Vec<_> = self.runtime.values().cloned().collect();
        if !some.is_empty() {
            some.remove(missing % some.len());
        }
        let listed = RuntimeEvent::Listed(some);
        self.heard(&listed);
        self.decide(Input::Runtime(listed));
        self.relist();
        self.allowed += 1;
    }

    /// The owner dies: what was not durable is lost, and its calls may be done all the same.
    pub fn restart(&mut self) {
        self.batches.clear();
        self.held.retain(|_, held| held.acknowledged);
        self.answered.clear();
        self.late.extend(self.works.drain(..).map(|(_, work)| work));
        self.late.truncate(8);
        self.written = self.stored.clone();
        self.entropy += 1;
        let (settings, loaded) = (self.settings.clone(), self.stored.loaded());
        self.state =
            SchedulerState::load("arena".into(), loaded, settings, self.clock, self.entropy);
        self.board.clear();
        self.pinged.clear();
        self.more = false;
        self.relist();
        self.check();
    }

    /// An allocation whose reply nobody took is given back.
    pub fn untaken(&mut self) {
        let known = self.held.iter().find(|(_, held)| held.acknowledged);
        if let Some(room) = known.map(|(room, _)| room.clone()) {
            self.held.remove(&room);
            self.decide(Input::AllocationUntaken { room });
        }
    }

    /// Lets time pass, with the wake-ups that are asked for.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock.mono.plus(time);
        let mut wakes = 0;
        while self.go_on() {}
        self.tell_pings();
        while let Some(wake) = self.state.next_wake().filter(|wake| *wake <= end) {
            self.advance_to(wake.max(self.clock.mono));
            self.decide(Input::Wake);
            while self.go_on() {}
            // Too much for one turn is a reason to be woken again at once.
            wakes += 1;
            assert!(wakes < 100_000, "wakes without end");
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, moment: Mono) {
        let step = moment.since(self.clock.mono);
        self.clock.mono = self.clock.mono.plus(step);
        self.clock.wall = self.clock.wall.saturating_add(step).unwrap();
    }

    // What must hold.

    pub fn decide(&mut self, input: Input) {
        let before: BTreeMap<RoomId, (RoomStatus, Option<Removal>)> = self
            .state
            .rooms()
            .iter()
            .map(|r| (r.record.id.clone(), (r.status(), r.record.removal)))
            .collect();
        self.entropy += 1;
        let what = format!("{input:?}");
        let decision = self.state.decide(input, self.clock, self.entropy);
        for change in &decision.changes {
            self.written.apply(change.clone());
        }
        decision.touches.iter().for_each(|t| self.written.touch(t));
        for effect in &decision.effects {
            if let Effect::Reply {
                answer: Ok(Reply::Allocated { room, .. }),
                ..
            } = effect
            {
                self.allocated(room);
            }
        }
        for (id, (status, removal)) in before {
            self.check_busy(&id, status, removal, &what);
        }
        for change in decision.board {
            match change {
                BoardChange::Post(room, steady, _) => drop(self.board.insert(room, steady)),
                BoardChange::TakeOff(room) => drop(self.board.remove(&room)),
                BoardChange::Clear => self.board.clear(),
            }
        }
        self.more = decision.more;
        let batch = Batch {
            changes: decision.changes,
            touches: decision.touches,
            effects: decision.effects,
        };
        self.batches.push_back(batch);
        self.check();
    }

    /// A scale-down or a rollout waits for matches (invariant 11).
    fn check_busy(&self, id: &RoomId, was: RoomStatus, before: Option<Removal>, what: &str) {
        let busy = matches!(
            was,
            RoomStatus::Occupied | RoomStatus::Active | RoomStatus::Allocated
        );
        let Some(room) = self.state.rooms().get(id.as_str()) else {
            return;
        };
        let told = |r: Option<Removal>| r.filter(|r| !r.drain);
        let Some(now) = told(room.record.removal) else {
            return;
        };
        let ours = matches!(
            now.reason,
            RemovalReason::ScaleDown | RemovalReason::RollingUpdateReplace
        );
        let still = room.is_busy();
        assert!(
            !(busy && still && ours && told(before).is_none()),
            "{id} was {was:?} and is to end by {:?} after {what}",
            now.reason
        );
    }

    fn check(&self) {
        let rooms = self.state.rooms();
        let memory: BTreeMap<_, _> = rooms.iter().map(|r| (&r.record.id, &r.record)).collect();
        assert_eq!(
            memory.keys().collect::<Vec<_>>(),
            self.written
                .rooms
                .keys()
                .collect::<Vec<_>>()
                .iter()
                .collect::<Vec<_>>(),
        );
        for (id, stored) in &self.written.rooms {
            let known = memory[id];
            assert_eq!(known.status, stored.status, "{id}");
            assert_eq!(known.removal, stored.removal, "{id}");
            assert_eq!(known.allocated_at, stored.allocated_at, "{id}");
            let uid = |r: &RoomRecord| r.instance.as_ref().map(|i| i.uid.clone());
            assert_eq!(uid(known), uid(stored), "{id}");
        }
        assert_eq!(self.state.scheduler(), self.written.scheduler.as_ref());
        if let Some(active) = &self.written.scheduler {
            let version = &self.written.versions[active.version()];
            assert_eq!(version.rooms_replicas, active.rooms_replicas);
        }
        self.check_counts();
        self.check_operations();
    }

    fn check_counts(&self) {
        let rooms = self.state.rooms();
        let mut recount = RoomTable::default();
        if let Some(active) = self.state.scheduler() {
            recount.set_active(active.version());
        }
        rooms.iter().cloned().for_each(|room| recount.insert(room));
        assert_eq!(rooms.counts(), recount.counts());
        assert_eq!(rooms.kept(), recount.kept());
        assert_eq!(rooms.drained(), recount.drained());
        assert_eq!(rooms.available(), recount.available());
        assert_eq!(rooms.by_version(), recount.by_version());
        assert_eq!(rooms.running_matches(), recount.running_matches());
        assert_eq!(rooms.next_allocatable(), recount.next_allocatable());
        let available = rooms.available();
        assert!(available <= self.allowed, "{available} rooms run away");
    }

    fn check_operations(&self) {
        let all = || self.written.operations.values().map(|(_, o)| o);
        let open: BTreeSet<_> = all()
            .filter(|o| !o.status.is_final())
            .map(|o| o.id)
            .collect();
        assert_eq!(
            open,
            self.state.open_operations(),
            "open ones stored and known: {:?}",
            self.state.view()
        );
        for lane in [Lane::Version, Lane::Room] {
            let running = all()
                .filter(|o| o.status == OperationStatus::InProgress && o.definition.lane() == lane);
            assert!(running.count() <= 1, "two operations in the {lane:?} lane");
        }
        let ended = all().filter(|o| o.status.is_final()).count();
        // Ordinary ones, those without action, and one of a scheduler before.
        assert!(ended <= 12 + 100 + 8, "{ended} ended operations are kept");
        assert!(all().all(|o| o.history.len() <= 200));
        assert!(self.state.view().queued <= 8 + 12, "the queue grows");
    }

    // The end of all faults.

    /// The runtime is healthy, rooms are ready and say so.
    pub fn heal(&mut self) {
        self.slow_endings = false;
        self.commit_all();
        while !self.late.is_empty() {
            self.late(0);
        }
        while !self.ending.is_empty() {
            self.finish_ending();
        }
        for room in self.runtime.keys().cloned().collect::<Vec<_>>() {
            self.change(&room, InstanceStatus::Ready);
        }
        // Before the end of a pause: what it says has to be looked at then all the same.
        self.relist();
        self.command(Command::SetPaused(false));
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let more =
                self.go_on() || self.commit() || self.work(0, Outcome::Works) || self.event();
            if !more {
                return;
            }
        }
        panic!("never comes to rest: {:?}", self.state.view());
    }

    /// Half a minute in which all is well.
    pub fn quiet_moment(&mut self) {
        for room in self.runtime.keys().cloned().collect::<Vec<_>>() {
            self.ping(&room, PingStatus::Ready, 0);
        }
        self.settle();
        let end = self.clock.mono.plus(Duration::from_secs(30));
        while let Some(wake) = self.state.next_wake().filter(|wake| *wake <= end) {
            let step = wake.since(self.clock.mono).max(Duration::from_millis(1));
            self.pass(step);
            self.settle();
        }
        self.pass(end.since(self.clock.mono));
    }

    /// Why the fleet is not yet what it should be.
    pub fn unsettled(&self) -> Option<String> {
        let open = self.state.open_operations();
        if !open.is_empty() {
            return Some(format!("operations are open: {:?}", self.state.view()));
        }
        if !self.works.is_empty() {
            return Some(format!("calls are open: {:?}", self.works));
        }
        if let Some(room) = self.stored.rooms.values().find(|r| r.removal.is_some()) {
            return Some(format!("{} is to go", room.id));
        }
        let rooms: BTreeSet<_> = self.stored.rooms.keys().collect();
        let Some(scheduler) = self.state.scheduler() else {
            return (!rooms.is_empty()).then(|| "rooms of no scheduler".into());
        };
        let instances: BTreeSet<_> = self.runtime.keys().collect();
        if rooms != instances {
            return Some(format!("rows {rooms:?}, instances {instances:?}"));
        }
        let ready = self.state.room_counts().of(RoomStatus::Ready);
        let wanted = match scheduler.state.as_str() {
            scheduler_state::TERMINATING => 0,
            _ => self.wanted(scheduler),
        };
        if ready != wanted || rooms.len() as u64 != wanted {
            let view = self.state.view();
            return Some(format!("{ready} of {wanted} rooms are ready: {view:?}"));
        }
        let in_sync = matches!(
            scheduler.state.as_str(),
            scheduler_state::IN_SYNC | scheduler_state::TERMINATING
        );
        if !in_sync && wanted > 0 {
            return Some(format!("the scheduler is {}", scheduler.state));
        }
        let outdated = self.stored.rooms.values().find(|room| {
            let document = self.stored.versions.get(&room.version);
            document.is_some_and(|d| crate::rules::version::is_major(d, scheduler))
        });
        outdated.map(|room| format!("{} is of {}", room.id, room.version))
    }

    fn wanted(&self, scheduler: &Scheduler) -> u64 {
        let scaled = scheduler.autoscaling.as_ref().filter(|a| a.enabled);
        let wanted = match scaled {
            None => i64::from(scheduler.rooms_replicas),
            // Without players it is the buffer, within its limits.
            Some(a) => {
                let buffer = a.policy.parameters.fixed_buffer.map_or(0, |b| b.amount);
                i64::from(buffer.clamp(a.min, a.max))
            }
        };
        wanted.max(0).unsigned_abs()
    }

    pub fn room_ids(&self) -> Vec<RoomId> {
        let mut ids: BTreeSet<RoomId> = self.runtime.keys().cloned().collect();
        ids.extend(self.state.rooms().iter().map(|r| r.record.id.clone()));
        ids.into_iter().collect()
    }
    pub fn operation_ids(&self) -> Vec<OperationId> {
        self.written.operations.keys().copied().collect()
    }
}
