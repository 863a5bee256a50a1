//! Machines that are emptied, and machines that die.

use crate::site::*;
use crate::support::{Home, eventually, seconds};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;

/// The rooms on a node that live, and those elsewhere.
fn split<'a>(pods: &'a BTreeMap<String, Pod>, node: &str) -> (Vec<(&'a String, &'a Pod)>, usize) {
    let lives = |(_, pod): &(&String, &Pod)| pod.metadata.deletion_timestamp.is_none();
    let (here, elsewhere): (Vec<_>, Vec<_>) = pods
        .iter()
        .filter(lives)
        .partition(|(_, pod)| node_of(pod) == node);
    (here, elsewhere.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_move_from_a_node_that_is_drained_and_from_one_that_dies() {
    let Some(site) = Site::open("nodes", 3).await else {
        return;
    };
    let home = Home::new();
    let maestro = site.start(&home);
    let mut fleet = site.fleet(&home, &maestro.rooms, 9);
    // They take their time to end.
    fleet["spec"]["terminationGracePeriod"] = "30s".into();
    let container = &mut fleet["spec"]["containers"][0];
    let command = container["command"].as_array_mut().expect("a list");
    command.extend(["--term-delay".into(), "10s".into()]);
    maestro.bring_up(&fleet).await;
    let busy = allocate(&maestro, "nodes").await;
    site.play(&busy).await;
    let is_taken = |info: &serde_json::Value| info["roomsOccupied"] == 1;
    maestro.until_info("nodes", "occupied", is_taken).await;
    // That room, and one that is given next.
    let are_protected = || async {
        let pods = site.all_pods().await;
        let protected = pods.values().filter(|pod| is_protected(pod)).count();
        protected == 2 && is_protected(&pods[&busy])
    };
    assert!(eventually(seconds(10), are_protected).await);

    let busy_pod = site.pod(&busy).await;
    let drained = node_of(&busy_pod).to_owned();
    site.cordon(&drained).await;
    let pods = site.all_pods().await;
    let (there, _) = split(&pods, &drained);
    let mut left = 0;
    let mut evicted = Vec::new();
    for (room, pod) in there {
        let code = site.evict(room).await;
        let expected = if is_protected(pod) { 429 } else { 200 };
        match is_protected(pod) {
            true => left += 1,
            false => evicted.push(room),
        }
        assert_eq!(code, expected, "{room}");
    }
    let has_moved = || async {
        let pods = site.all_pods().await;
        let (here, elsewhere) = split(&pods, &drained);
        here.len() == left && elsewhere == 9 - left
    };
    assert!(eventually(seconds(30), has_moved).await);
    let pods_now = site.all_pods().await;
    let are_there = evicted.iter().all(|room| pods_now.contains_key(*room));
    assert!(are_there, "their replacements waited for their ends");
    maestro.wait_ready("nodes", 8).await;
    expect_untouched(&[busy_pod], &site.all_pods().await);

    // A machine with idle rooms loses its power.
    let nodes = (0..3).map(|node| format!("nodes-{node}"));
    let dead = nodes
        .into_iter()
        .find(|node| *node != drained)
        .expect("one");
    site.kubelet.vanish(&dead);
    site.plane.set_node_ready(&dead, "Unknown").await;
    let are_replaced = || async {
        let pods = site.all_pods().await;
        let (here, elsewhere) = split(&pods, &dead);
        here.is_empty() && elsewhere == 9 && maestro.ready_rooms("nodes").await == 8
    };
    assert!(eventually(seconds(30), are_replaced).await);
    // What is left of them is no room any more, and is taken away when the machine is.
    let listed = || async { rooms(&maestro, "nodes", "").await.len() == 9 };
    assert!(eventually(seconds(30), listed).await);
    site.plane.remove_node(&dead).await;
    site.until_rooms(&maestro, "9", |pods| pods.len() == 9)
        .await;
    assert!(site.all_pods().await.contains_key(&busy));
}
