//! Simulated rooms: the contract of all runtimes, and their special features.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use maestro_core::{domain::*, ports::*};
use maestro_runtime::simulated::{SimulatedRuntime, SimulatedSettings};
use maestro_testkit::contract::runtime::{Harness, RUNS, Stage, scheduler};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

struct Paper(Arc<SimulatedRuntime>);

impl Paper {
    fn new(startup: Duration) -> Self {
        Self::with(SimulatedSettings {
            startup,
            ..Default::default()
        })
    }
    fn with(settings: SimulatedSettings) -> Self {
        Self(SimulatedRuntime::open(settings).unwrap())
    }
}

impl Harness for Paper {
    fn runtime(&self) -> Arc<dyn Runtime> {
        self.0.clone()
    }
}

mod contract {
    maestro_testkit::runtime_contract!(crate::Paper::new(std::time::Duration::ZERO));
}

mod contract_with_a_startup {
    maestro_testkit::runtime_contract!(crate::Paper::new(std::time::Duration::from_millis(20)));
}

#[tokio::test]
async fn a_room_is_pending_until_it_has_started() {
    let paper = Paper::new(Duration::from_millis(50));
    let mut stage = Stage::set(&paper, scheduler("paper-slow", RUNS)).await;
    let before = Instant::now();
    let created = stage.create("paper-slow-one").await.unwrap();
    assert_eq!(created.status, InstanceStatus::Pending);
    stage
        .until(|event| {
            matches!(event, RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready)
                .then_some(())
        })
        .await;
    assert!(before.elapsed() >= Duration::from_millis(50));
    paper.0.shutdown().await;
}

#[tokio::test]
async fn a_range_without_a_free_port_is_exhausted_until_a_room_ends() {
    let paper = Paper::new(Duration::ZERO);
    let mut few = scheduler("paper-few", RUNS);
    few.port_range = Some(PortRange {
        start: 21_000,
        end: 21_002,
    });
    let stage = Stage::set(&paper, few).await;
    stage.create("paper-few-one").await.unwrap();
    let refused = stage.create("paper-few-two").await;
    assert!(
        matches!(refused, Err(RuntimeError::Exhausted(_))),
        "{refused:?}"
    );
    stage.terminate("paper-few-one", None).await.unwrap();
    stage.create("paper-few-two").await.unwrap();
    stage.strike().await;
}

#[tokio::test]
async fn the_list_of_rooms_has_each_created_room_once() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("rooms");
    let paper = Paper::with(SimulatedSettings {
        room_list: Some(list.clone()),
        ..Default::default()
    });
    let stage = Stage::set(&paper, scheduler("paper-list", RUNS)).await;
    let order = stage.order("paper-list-one").await.unwrap();
    stage.runtime.create(&order).await.unwrap();
    stage.runtime.create(&order).await.unwrap();
    stage.create("paper-list-two").await.unwrap();
    let told = std::fs::read_to_string(list).unwrap();
    assert_eq!(told, "paper-list-one\npaper-list-two\n");
    stage.strike().await;
}

#[tokio::test]
async fn a_hundred_thousand_rooms_are_cheap() {
    let paper = Paper::new(Duration::from_millis(1));
    let mut many = scheduler("paper-many", RUNS);
    many.spec.containers[0].ports.clear();
    let many = Arc::new(many);
    let before = Instant::now();
    for number in 0..100_000 {
        let room = RoomId::from(format!("paper-many-{number}"));
        let order = RoomOrder {
            host_ports: paper.0.reserve_ports(&room, &many).await.unwrap(),
            scheduler: many.clone(),
            validation: false,
            room,
            config: ConfigPairs::default(),
        };
        paper.0.create(&order).await.unwrap();
    }
    paper.0.remove(&many.name, None).await.unwrap();
    // A debug build on a busy machine takes about two seconds.
    assert!(before.elapsed() < Duration::from_secs(30));
    paper.0.shutdown().await;
}
