//! Host ports of rooms on several nodes (contract 4.7).

use crate::faults::until_ports_are_taken;
use crate::site::Site;
use maestro_core::domain::PortRange;
use maestro_core::ports::{RuntimeError, RuntimeEvent};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ControlPlane, TestNode};
use std::collections::BTreeSet;

const NAME: &str = "ports";
const NODES: usize = 3;

async fn a_room_that_never_came_has_no_ports_once_it_is_ended(site: &Site) {
    let mut one = scheduler("ports-never", RUNS);
    // For one room.
    one.port_range = Some(PortRange {
        start: 30_200,
        end: 30_201,
    });
    let stage = Stage::set(site, one).await;
    stage.order("ports-never-one").await.unwrap();
    let refused = stage.order("ports-never-two").await;
    assert!(
        matches!(refused, Err(RuntimeError::Exhausted(_))),
        "{refused:?}"
    );
    let ended = stage.terminate("ports-never-one", None).await;
    assert!(matches!(ended, Err(RuntimeError::NotFound)), "{ended:?}");
    stage.order("ports-never-two").await.unwrap();
    let ended = stage.terminate("ports-never-two", None).await;
    assert!(matches!(ended, Err(RuntimeError::NotFound)), "{ended:?}");
}

/// How many rooms share a port depends on the nodes that have rooms, so there are none but those of this test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_one_port_is_enough_for_a_room_on_each_node() {
    let Some(plane) = ControlPlane::start().await else {
        return;
    };
    if !plane.is_own() {
        return;
    }
    let site = Site::by(&plane, plane.kubeconfig().to_owned()).await;
    a_room_that_never_came_has_no_ports_once_it_is_ended(&site).await;
    for number in 0..NODES {
        let node = TestNode::new(&format!("{NAME}-{number}"))
            .label(NAME, "true")
            .dedicated(NAME)
            .address("ExternalIP", &format!("198.51.100.{number}"));
        plane.register_node(&node).await;
    }
    let mut placed = scheduler(NAME, RUNS);
    placed.spec.affinity = NAME.into();
    placed.spec.toleration = NAME.into();
    placed.spec.containers[0].ports.truncate(1);
    placed.spec.containers[0].requests.cpu = "1m".into();
    placed.port_range = Some(PortRange {
        start: 30_200,
        end: 30_200,
    });
    let mut stage = Stage::set(&site, placed).await;
    let mut hosts = BTreeSet::new();
    for number in 0..NODES {
        let room = format!("{NAME}-room-{number}");
        stage.create(&room).await.unwrap();
        let host = stage
            .until(|event| match event {
                RuntimeEvent::Changed(i) if i.room.as_str() == room => i.address.clone(),
                _ => None,
            })
            .await;
        hosts.insert(host.host.clone());
    }
    assert_eq!(hosts.len(), NODES, "{hosts:?}");
    // There might be one node more.
    let one_more = format!("{NAME}-room-more");
    stage.create(&one_more).await.unwrap();
    until_ports_are_taken(&mut stage).await;
    let refused = stage.order("ports-room-last").await.map(drop);
    assert!(
        matches!(&refused, Err(RuntimeError::Exhausted(cause)) if cause.text().contains("30200")),
        "{refused:?}"
    );
}
