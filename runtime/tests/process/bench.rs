//! Two hundred rooms at once.

use crate::site::Site;
use maestro_core::ports::RuntimeEvent;
use maestro_testkit::contract::runtime::scheduler;
use std::{sync::Arc, time::Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rooms_come_and_go_together() {
    const ROOMS: usize = 200;
    let site = Site::new();
    let mut fleet = scheduler("fleet", "");
    fleet.spec.containers[0].command = vec!["sleep".into(), "600".into()];
    let mut stage = site.stage(fleet).await;
    let mut orders = Vec::new();
    let drawing = Instant::now();
    for number in 0..ROOMS {
        orders.push(stage.order(&format!("fleet-{number:03}")).await.unwrap());
    }
    println!("ports of {ROOMS} rooms: {:?}", drawing.elapsed());
    let starting = Instant::now();
    let runtime = Arc::clone(&stage.runtime);
    let created = orders.iter().map(|order| runtime.create(order));
    for created in futures_util::future::join_all(created).await {
        created.unwrap();
    }
    println!("{ROOMS} rooms started: {:?}", starting.elapsed());
    assert_eq!(site.processes().len(), ROOMS);
    let ending = Instant::now();
    for order in &orders {
        stage.terminate(order.room.as_str(), None).await.unwrap();
    }
    let mut left = ROOMS;
    while left > 0 {
        match stage.next().await {
            RuntimeEvent::Gone { .. } => left -= 1,
            RuntimeEvent::Listed(listed) => left = listed.len(),
            RuntimeEvent::Changed(_) => {}
        }
    }
    println!("{ROOMS} rooms ended: {:?}", ending.elapsed());
    stage.strike().await;
}
