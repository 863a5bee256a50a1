//! A node with fake ports, inside a running actix system.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use futures_util::FutureExt;
use maestro_actors::{ActorSettings, ActorView, AskTimeouts, CallError, Node, NodeParts};
use maestro_core::domain::{PingStatus, RoomId, SchedulerName};
use maestro_core::settings::CoreSettings;
use maestro_core::state::{Command, Ping, Reply};
use maestro_testkit::build;
use maestro_testkit::eventually;
use maestro_testkit::fake::{FakeForwarders, FakePlatform, FakeRuntime, FakeStore, TokioClock};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Far longer than anything takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);
/// Shorter than a node's wait for an owner that does not end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);
/// The tasks that renew leases, look for blocked threads, place schedulers, and follow other programs' changes.
const TASKS_OF_A_NODE: usize = 4;
pub const FLEET: &str = "fleet";
pub const IO_THREAD: &str = "io";

/// The settings that a test can change.
pub struct Setup {
    pub core: CoreSettings,
    pub settings: ActorSettings,
    pub store: Arc<FakeStore>,
    pub runtime: Arc<FakeRuntime>,
    pub platform: Arc<FakePlatform>,
    pub forwarders: Arc<FakeForwarders>,
}

impl Setup {
    /// A node without schedulers.
    pub fn empty() -> Self {
        Self {
            core: CoreSettings::default(),
            settings: ActorSettings::default(),
            store: FakeStore::new(),
            runtime: FakeRuntime::new(),
            platform: FakePlatform::new(),
            forwarders: FakeForwarders::new(),
        }
    }
    /// One fleet of ready rooms, `r-00000` and so on, as an earlier owner left it.
    pub fn fleet(rooms: u16) -> Self {
        let setup = Self::empty();
        setup.add_fleet(FLEET, rooms);
        setup
    }
    pub fn add_fleet(&self, name: &str, rooms: u16) {
        let records = (0..rooms).map(|i| {
            let id = room_id(i);
            self.runtime.insert(name, build::instance(id.as_str()));
            let room = build::room(id.as_str()).ready();
            room.host_ports(&[20_000 + i]).build()
        });
        let records: Vec<_> = records.collect();
        let scheduler = build::scheduler(name).replicas(i32::from(rooms));
        self.store.insert(scheduler.build(), records, []);
    }
    pub fn core(mut self, edit: impl FnOnce(&mut CoreSettings)) -> Self {
        edit(&mut self.core);
        self
    }
    pub fn settings(mut self, edit: impl FnOnce(&mut ActorSettings)) -> Self {
        edit(&mut self.settings);
        self
    }
    /// Gives callers very long timeouts.
    pub fn patient(self) -> Self {
        self.settings(|s| {
            s.timeouts = AskTimeouts {
                ping: LONG,
                allocate: LONG,
                other: LONG,
            };
        })
    }

    /// Runs a test on a node that uses a single thread, under paused time: waiting ends as soon as nothing else is left
    /// to do, and every run is the same.
    pub fn run<F: Future<Output = ()>>(self, test: impl FnOnce(World) -> F) {
        let paused = || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build();
            runtime.expect("a runtime can be made")
        };
        let system = actix::System::with_tokio_rt(paused);
        let io = system.block_on(async { tokio::runtime::Handle::current() });
        self.settings(|s| s.threads = 0).run_in(system, io, test);
    }

    /// Runs a test on a node with real threads and real time, for behavior while a thread is blocked.
    pub fn run_on_threads<F: Future<Output = ()>>(self, test: impl FnOnce(World) -> F) {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(IO_THREAD)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        self.run_in(actix::System::new(), io.handle().clone(), test);
    }

    /// Shuts the node down after the test, and checks that the fakes found no violations.
    fn run_in<F: Future<Output = ()>>(
        self,
        system: actix::SystemRunner,
        io: tokio::runtime::Handle,
        test: impl FnOnce(World) -> F,
    ) {
        system.block_on(async {
            let mut parts = NodeParts::new(
                self.store.clone(),
                self.runtime.clone(),
                self.forwarders.clone(),
                TokioClock::new(),
                self.core,
                self.settings,
                io.clone(),
            );
            parts.platform = self.platform.clone();
            let world = World {
                node: Node::start(parts),
                store: self.store,
                runtime: self.runtime,
                platform: self.platform,
                forwarders: self.forwarders,
                io,
            };
            assert!(world.node.tasks_left() >= TASKS_OF_A_NODE);
            test(world.clone()).await;
            world.store.heal();
            let began = Instant::now();
            world.node.shutdown().await;
            // Includes the last attempt of a writer and the last call of a forwarder.
            assert!(began.elapsed() < SHUTDOWN_MAX, "{:?}", began.elapsed());
            assert_eq!(world.node.tasks_left(), 0, "tasks are left");
            world.store.assert_clean();
            world.runtime.assert_clean();
            actix::System::current().stop();
        });
        system.run().expect("the system ends well");
    }
}

#[derive(Clone)]
pub struct World {
    pub node: Node,
    pub store: Arc<FakeStore>,
    pub runtime: Arc<FakeRuntime>,
    pub platform: Arc<FakePlatform>,
    pub forwarders: Arc<FakeForwarders>,
    pub io: tokio::runtime::Handle,
}

impl World {
    /// The metrics of the node, as Prometheus reads them.
    pub fn page(&self) -> String {
        let families = self.node.metrics();
        let text = prometheus::TextEncoder::new().encode_to_string(&families);
        text.expect("families with samples")
    }
}

impl World {
    /// Blocks an actor in a turn until the sender is used or dropped; `then` ends the turn.
    pub async fn hold_then(
        &self,
        name: &str,
        then: impl FnOnce() + Send + 'static,
    ) -> mpsc::Sender<()> {
        let (go, wait) = mpsc::channel();
        self.node.interrupt(name, move || {
            let _ = wait.recv();
            then();
        });
        // Pings use another channel, and overtake an order that was not taken yet; an earlier message may still be in
        // its turn.
        let held = || {
            let turn = self.view_of(name).turn;
            turn.is_some_and(|turn| turn.message == "control")
        };
        eventually(LONG, "it is held up", held).await;
        go
    }
    pub async fn hold(&self, name: &str) -> mpsc::Sender<()> {
        self.hold_then(name, || {}).await
    }
    /// Runs `what` in the middle of a turn, on the only thread: nothing else happens meanwhile, and time passes as
    /// described at [`pass`].
    pub async fn during<T: Send + 'static>(
        &self,
        name: &str,
        what: impl FnOnce(Self) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = oneshot::channel();
        let world = self.clone();
        self.node.interrupt(name, move || {
            // A panic in here is reported to the waiting code below.
            let _ = tell.send(catch_unwind(AssertUnwindSafe(|| what(world))));
        });
        let done = told.await.expect("the actor lives");
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
    pub fn view(&self) -> ActorView {
        self.view_of(FLEET)
    }
    pub fn view_of(&self, name: &str) -> ActorView {
        let mut actors = self.node.debug(Some(name)).actors;
        actors.pop().expect("there is such an owner")
    }
    pub fn is_running(&self, name: &str) -> bool {
        let actors = self.node.debug(Some(name)).actors;
        actors.first().is_some_and(|a| {
            let listed = a.scheduler.as_ref().is_some_and(|s| s.state.listed);
            a.state == "running" && listed
        })
    }
    /// Waits until the scheduler has an owner that has received the runtime's list.
    pub async fn running(&self, name: &str) {
        eventually(LONG, "the owner runs", || self.is_running(name)).await;
    }
    pub fn rooms(&self, status: &str) -> u64 {
        let view = self.view().scheduler;
        view.map_or(0, |s| s.state.rooms[status])
    }
    pub fn handled(&self, kind: &str) -> u64 {
        self.view().handled[kind]
    }
    pub fn restarts(&self) -> u64 {
        self.view().restarts.total
    }

    pub async fn ask(&self, command: Command) -> Result<Reply, CallError> {
        self.node.ask(FLEET, command, None).await
    }
    pub async fn allocate(&self) -> Result<RoomId, CallError> {
        match self.ask(Command::Allocate).await? {
            Reply::Allocated { room, .. } => Ok(room),
            other => panic!("an allocation answered {other:?}"),
        }
    }
    pub async fn ping(&self, room: &RoomId, status: PingStatus) -> Result<(), CallError> {
        self.node.ping(FLEET, ping(room, status)).await
    }
    /// Runs it concurrently with the test.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce(World) -> std::pin::Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> JoinHandle<T> {
        self.io.spawn(work(self.clone()))
    }
    pub fn spawn_ping(
        &self,
        room: &RoomId,
        status: PingStatus,
    ) -> JoinHandle<Result<(), CallError>> {
        let room = room.clone();
        self.spawn(move |w| Box::pin(async move { w.ping(&room, status).await }))
    }
    pub fn spawn_allocate(&self) -> JoinHandle<Result<RoomId, CallError>> {
        self.spawn(|w| Box::pin(async move { w.allocate().await }))
    }
}

/// Advances paused time without running anything, not even what becomes due.
pub fn pass(time: Duration) {
    // The clock is advanced before the future yields to other tasks.
    let _ = tokio::time::advance(time).now_or_never();
}

/// Lets pending work run and a moment pass.
pub async fn moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub fn room_id(index: u16) -> RoomId {
    format!("r-{index:05}").as_str().into()
}

pub fn ping(room: &RoomId, status: PingStatus) -> Ping {
    Ping {
        room: room.clone(),
        status,
        running_matches: i64::from(status == PingStatus::Occupied),
        metadata: "{}".into(),
    }
}

/// Names whose owners run on this one of two threads.
pub fn names_on_thread(index: u64) -> impl Iterator<Item = String> {
    let on_it = move |name: &String| {
        let mut hasher = DefaultHasher::new();
        SchedulerName::from(name.as_str()).hash(&mut hasher);
        hasher.finish() % 2 == index
    };
    (0..).map(|i| format!("fleet-{i}")).filter(on_it)
}
