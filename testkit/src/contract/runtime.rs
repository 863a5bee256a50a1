//! What every runtime must do, as checks over the port.
//!
//! An adapter's tests pass their [`Harness`] to [`runtime_contract!`](crate::runtime_contract);
//! each check becomes a test of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a check fails")]

pub use super::place::{RUNS, operation, prepare, removed, scheduler};
use futures_util::stream::{BoxStream, StreamExt};
use maestro_core::{domain::*, ports::*};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// A runtime under test, and what it needs to run a room.
pub trait Harness: Send + Sync {
    fn runtime(&self) -> Arc<dyn Runtime>;
    /// The image that has `/bin/sh`, for runtimes of images.
    fn image(&self) -> &str {
        "none"
    }
    /// How long a room may take to start or to end.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

/// One scheduler's rooms on the runtime of a harness.
pub struct Stage {
    pub runtime: Arc<dyn Runtime>,
    pub scheduler: Scheduler,
    pub patience: Duration,
    watch: BoxStream<'static, RuntimeEvent>,
}

impl Stage {
    /// Prepared, with a watch whose first event was an empty list.
    pub async fn set(harness: &impl Harness, scheduler: Scheduler) -> Self {
        let mut stage = Self::resume(harness, scheduler).await;
        assert_eq!(stage.next().await, RuntimeEvent::Listed(vec![]));
        stage
    }

    /// With the rooms that exist already.
    pub async fn resume(harness: &impl Harness, mut scheduler: Scheduler) -> Self {
        for container in &mut scheduler.spec.containers {
            container.image = harness.image().into();
        }
        let runtime = harness.runtime();
        prepare(&*runtime, &scheduler, operation(1), harness.patience()).await;
        let watch = runtime.watch(&scheduler.name);
        Self {
            runtime,
            scheduler,
            patience: harness.patience(),
            watch,
        }
    }

    pub async fn next(&mut self) -> RuntimeEvent {
        tokio::time::timeout(self.patience, self.watch.next())
            .await
            .expect("an event in time")
            .expect("a watch that goes on")
    }

    /// Skips earlier events.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&RuntimeEvent) -> Option<T>) -> T {
        loop {
            let event = self.next().await;
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }

    pub async fn until_gone(&mut self, room: &RoomId) -> (String, Exit) {
        self.until(|event| match event {
            RuntimeEvent::Gone { room: r, uid, exit } if r == room => {
                Some((uid.clone(), exit.clone().unwrap_or_default()))
            }
            _ => None,
        })
        .await
    }

    /// The order for a room of the scheduler, its ports reserved.
    ///
    /// # Errors
    /// As [`Runtime::reserve_ports`].
    pub async fn order(&self, room: &str) -> Result<RoomOrder, RuntimeError> {
        let room = RoomId::from(room);
        let host_ports = self.runtime.reserve_ports(&room, &self.scheduler).await?;
        Ok(RoomOrder {
            room,
            scheduler: Arc::new(self.scheduler.clone()),
            validation: false,
            host_ports,
            config: ConfigPairs::default(),
        })
    }

    /// Reserves ports and creates a room.
    ///
    /// # Errors
    /// As [`Runtime::reserve_ports`] and [`Runtime::create`].
    pub async fn create(&self, room: &str) -> Result<Instance, RuntimeError> {
        self.runtime.create(&self.order(room).await?).await
    }

    /// Ends a room within the grace of its spec.
    ///
    /// # Errors
    /// As [`Runtime::terminate`].
    pub async fn terminate(&self, room: &str, uid: Option<&str>) -> Result<(), RuntimeError> {
        let (name, room) = (&self.scheduler.name, RoomId::from(room));
        let grace = self.scheduler.spec.grace();
        let reason = RemovalReason::ScaleDown;
        self.runtime
            .terminate(name, &room, uid, grace, reason)
            .await
    }

    /// The first event of a watch that begins now.
    pub async fn listed(&self) -> Vec<Instance> {
        match self.runtime.watch(&self.scheduler.name).next().await {
            Some(RuntimeEvent::Listed(instances)) => instances,
            other => panic!("a watch begins with the list, not with {other:?}"),
        }
    }

    /// Ends the remaining rooms and removes the scheduler's namespace.
    pub async fn strike(mut self) {
        for instance in self.listed().await {
            let _ = self.terminate(instance.room.as_str(), None).await;
        }
        let deadline = tokio::time::Instant::now() + self.patience;
        while !self.listed().await.is_empty() {
            let event = tokio::time::timeout_at(deadline, self.watch.next()).await;
            assert!(event.is_ok(), "rooms are left: {:?}", self.listed().await);
        }
        let name = &self.scheduler.name;
        removed(&*self.runtime, name, None, self.patience).await;
    }
}

pub async fn a_created_room_becomes_ready_and_is_listed(harness: &impl Harness) {
    let mut stage = Stage::set(harness, scheduler("contract-ready", RUNS)).await;
    let order = RoomOrder {
        validation: true,
        ..stage.order("contract-ready-one").await.unwrap()
    };
    let created = stage.runtime.create(&order).await.unwrap();
    assert_eq!(created.room, order.room);
    assert_eq!(created.version, SchedulerVersion::initial());
    assert!(created.validation && !created.uid.is_empty());
    let ready = stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready => Some(i.clone()),
            _ => None,
        })
        .await;
    assert_eq!(ready.uid, created.uid);
    let address = ready.address.clone().expect("a ready room has an address");
    let port = |name: &str, index: usize, protocol: &str| Port {
        name: name.into(),
        port: i32::from(order.host_ports[index]),
        protocol: protocol.into(),
    };
    assert_eq!(
        address.ports,
        [port("game", 0, "UDP"), port("query", 1, "TCP")]
    );
    assert_eq!(stage.listed().await, [ready]);
    stage.strike().await;
}

pub async fn a_repeated_creation_returns_the_room_as_it_is(harness: &impl Harness) {
    let stage = Stage::set(harness, scheduler("contract-again", RUNS)).await;
    let order = stage.order("contract-again-one").await.unwrap();
    let (one, two) = tokio::join!(stage.runtime.create(&order), stage.runtime.create(&order));
    let (one, two) = (one.unwrap(), two.unwrap());
    let three = stage.runtime.create(&order).await.unwrap();
    assert_eq!(one.uid, two.uid);
    assert_eq!(one.uid, three.uid);
    assert_eq!(stage.listed().await.len(), 1);
    stage.strike().await;
}

pub async fn a_terminated_room_goes_through_terminating_to_gone(harness: &impl Harness) {
    let mut stage = Stage::set(harness, scheduler("contract-end", RUNS)).await;
    let created = stage.create("contract-end-one").await.unwrap();
    stage
        .until(|event| {
            matches!(event, RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready)
                .then_some(())
        })
        .await;
    stage
        .terminate("contract-end-one", Some(&created.uid))
        .await
        .unwrap();
    let mut versions = vec![created.resource_version];
    let uid = stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => {
                assert_eq!(i.status, InstanceStatus::Terminating);
                versions.push(i.resource_version);
                None
            }
            RuntimeEvent::Gone { uid, .. } => Some(uid.clone()),
            RuntimeEvent::Listed(_) => None,
        })
        .await;
    assert_eq!(uid, created.uid);
    assert!(versions.len() > 1, "terminating was never told");
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    assert!(stage.listed().await.is_empty());
    stage.strike().await;
}

pub async fn a_termination_may_be_repeated(harness: &impl Harness) {
    let mut stage = Stage::set(harness, scheduler("contract-twice", RUNS)).await;
    let room = RoomId::from("contract-twice-one");
    stage.create(room.as_str()).await.unwrap();
    stage.terminate(room.as_str(), None).await.unwrap();
    let again = stage.terminate(room.as_str(), None).await;
    assert!(
        matches!(again, Ok(()) | Err(RuntimeError::NotFound)),
        "{again:?}"
    );
    stage.until_gone(&room).await;
    let late = stage.terminate(room.as_str(), None).await;
    assert!(matches!(late, Err(RuntimeError::NotFound)), "{late:?}");
    stage.strike().await;
}

pub async fn a_namesake_is_never_terminated(harness: &impl Harness) {
    let mut stage = Stage::set(harness, scheduler("contract-name", RUNS)).await;
    let created = stage.create("contract-name-one").await.unwrap();
    let other = stage
        .terminate("contract-name-one", Some("another-uid"))
        .await;
    assert!(
        matches!(other, Ok(()) | Err(RuntimeError::NotFound)),
        "{other:?}"
    );
    // A room that is made afterwards is told of later than what became of the first.
    stage.create("contract-name-two").await.unwrap();
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.room.as_str() == "contract-name-two" => {
                (i.status == InstanceStatus::Ready).then_some(())
            }
            _ => None,
        })
        .await;
    let listed = stage.listed().await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let first = listed.iter().find(|i| i.room == created.room).unwrap();
    assert_eq!(first.uid, created.uid);
    assert_ne!(first.status, InstanceStatus::Terminating);
    stage.strike().await;
}

pub async fn a_room_that_never_was_is_not_found(harness: &impl Harness) {
    let stage = Stage::set(harness, scheduler("contract-none", RUNS)).await;
    let ended = stage.terminate("contract-none-one", None).await;
    assert!(matches!(ended, Err(RuntimeError::NotFound)), "{ended:?}");
    let room = "contract-none-one".into();
    let log = stage
        .runtime
        .log_tail(&stage.scheduler.name, &room, 10)
        .await;
    assert!(matches!(log, Err(RuntimeError::NotFound)), "{log:?}");
    stage.runtime.release_ports(&room).await;
    stage.strike().await;
}

pub async fn rooms_are_given_distinct_ports(harness: &impl Harness) {
    let stage = Stage::set(harness, scheduler("contract-ports", RUNS)).await;
    let mut seen = HashSet::new();
    for number in 0..20 {
        let order = stage
            .order(&format!("contract-ports-{number}"))
            .await
            .unwrap();
        assert_eq!(order.host_ports.len(), 2);
        for port in order.host_ports.iter() {
            assert!((21_000..=29_000).contains(port));
            assert!(seen.insert(*port), "{port} was given twice");
        }
    }
    for number in 0..20 {
        let room = format!("contract-ports-{number}").into();
        stage.runtime.release_ports(&room).await;
    }
    stage.strike().await;
}

pub async fn an_order_that_can_never_succeed_is_invalid(harness: &impl Harness) {
    let mut bad = scheduler("contract-bad", RUNS);
    bad.spec.containers[0].limits.memory = "abc".into();
    let stage = Stage::set(harness, bad).await;
    let refused = stage.create("contract-bad-one").await;
    assert!(
        matches!(refused, Err(RuntimeError::Invalid(_))),
        "{refused:?}"
    );
    let room = "contract-bad-one".into();
    stage.runtime.release_ports(&room).await;
    assert!(stage.listed().await.is_empty());
    stage.strike().await;
}

pub async fn a_place_can_be_made_and_removed_again_and_again(harness: &impl Harness) {
    let runtime = harness.runtime();
    let (runtime, patience) = (&*runtime, harness.patience());
    let scheduler = scheduler("contract-place", RUNS);
    removed(runtime, &scheduler.name, None, patience).await;
    for round in 0..2 {
        for _ in 0..2 {
            let made = prepare(runtime, &scheduler, operation(round), patience).await;
            assert!(made.created, "its first answer may have been lost");
        }
        for _ in 0..2 {
            removed(runtime, &scheduler.name, None, patience).await;
        }
    }
}

/// What the rollback of a creation does (D17).
pub async fn a_place_is_removed_by_the_operation_that_made_it(harness: &impl Harness) {
    let runtime = harness.runtime();
    let (runtime, patience) = (&*runtime, harness.patience());
    let mut stage = Stage::set(harness, scheduler("contract-maker", RUNS)).await;
    let name = stage.scheduler.name.clone();
    let id = "contract-maker-one";
    stage.create(id).await.unwrap();
    let found = prepare(runtime, &stage.scheduler, operation(2), patience).await;
    assert!(!found.created, "it was there, with a room");
    removed(runtime, &name, Some(operation(2)), patience).await;
    let listed = stage.listed().await;
    assert_eq!(listed.len(), 1, "an adopted place stays");
    assert_ne!(listed[0].status, InstanceStatus::Terminating);
    stage.terminate(id, None).await.unwrap();
    stage.until_gone(&id.into()).await;
    removed(runtime, &name, None, patience).await;
    let made = prepare(runtime, &stage.scheduler, operation(3), patience).await;
    assert!(made.created);
    removed(runtime, &name, Some(operation(3)), patience).await;
    // A place that is gone was nobody's.
    let made = prepare(runtime, &stage.scheduler, operation(4), patience).await;
    assert!(made.created);
    removed(runtime, &name, None, patience).await;
}

pub async fn schedulers_do_not_see_each_other(harness: &impl Harness) {
    let one = Stage::set(harness, scheduler("contract-apart-a", RUNS)).await;
    let two = Stage::set(harness, scheduler("contract-apart-b", RUNS)).await;
    one.create("contract-apart-a-one").await.unwrap();
    assert_eq!(one.listed().await.len(), 1);
    assert!(two.listed().await.is_empty());
    one.strike().await;
    two.strike().await;
}

/// One test for each check. `$harness` is evaluated in each of them.
#[macro_export]
macro_rules! runtime_contract {
    ($harness:expr) => {
        $crate::runtime_contract! { @each $harness;
            a_created_room_becomes_ready_and_is_listed,
            a_repeated_creation_returns_the_room_as_it_is,
            a_terminated_room_goes_through_terminating_to_gone,
            a_termination_may_be_repeated,
            a_namesake_is_never_terminated,
            a_room_that_never_was_is_not_found,
            rooms_are_given_distinct_ports,
            an_order_that_can_never_succeed_is_invalid,
            a_place_can_be_made_and_removed_again_and_again,
            a_place_is_removed_by_the_operation_that_made_it,
            schedulers_do_not_see_each_other,
        }
    };
    (@each $harness:expr; $($check:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            let harness = $harness;
            $crate::contract::runtime::$check(&harness).await;
        }
    )*};
}
