//! Three nodes of ours on Postgres and Redis, of which the owner of a fleet is killed in the middle of an update.

use crate::site::*;
use crate::support::stores::Stores;
use crate::support::{Home, Maestro, eventually, seconds};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::collections::BTreeMap;
use std::time::Instant;

/// How long a fleet may stand still after the death of its owner.
const GOES_ON: u64 = 10;

/// The node that owns the fleet, and the other ones.
async fn owner(nodes: Vec<Maestro>, fleet: &str) -> (Maestro, Vec<Maestro>) {
    let mut owner = None;
    let mut others = Vec::new();
    for node in nodes {
        let path = format!("/debug/nodes?scheduler={fleet}");
        let (status, page) = node.internal("GET", &path, None).await;
        assert_eq!(status, 200, "{page}");
        match page["scheduler"]["owner"]["session"] == page["me"] {
            true => owner = Some(node),
            false => others.push(node),
        }
    }
    (owner.expect("an owner"), others)
}

fn is_of_update(pod: &Pod) -> bool {
    version(pod) == "v2.0.0" && !is_validation(pod)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_goes_on_when_its_owner_is_killed() {
    let Some(site) = Site::open("cluster", 2).await else {
        return;
    };
    let Some(stores) = Stores::start().await else {
        return;
    };
    let environment = site.environment();
    let homes = [Home::new(), Home::new(), Home::new(), Home::new()];
    let module = |name: &str, home: &Home| stores.module(name, home, &borrowed(&environment));
    let nodes = homes[..3].iter().map(|home| module("all", home));
    let nodes: Vec<Maestro> = nodes.collect();
    // The rooms' own way to the owner, whoever that is.
    let rooms_api = module("rooms-api", &homes[3]);
    let fleet = site.fleet(&homes[0], &rooms_api.rooms, 8);
    nodes[0].bring_up(&fleet).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let room = allocate(&rooms_api, "cluster").await;
        site.play(&room).await;
        busy.push(site.pod(&room).await);
    }
    let are_taken = |info: &serde_json::Value| info["roomsOccupied"] == 2;
    nodes[0].until_info("cluster", "occupied", are_taken).await;

    let edit = another(&rooms_api.rooms, "2");
    let answer = nodes[0].patch("/schedulers/cluster", &edit).await;
    nodes[0].done("cluster", answer).await;
    let (owner, others) = owner(nodes, "cluster").await;
    let has_begun = || async { site.all_pods().await.values().any(is_of_update) };
    assert!(eventually(seconds(30), has_begun).await);
    owner.kill();
    let killed = Instant::now();
    let before = site.all_pods().await;
    let count =
        |pods: &BTreeMap<String, Pod>| pods.values().filter(|pod| is_of_update(pod)).count();
    let begun = count(&before);
    assert!(begun < 6, "it was over already");
    let goes_on = || async { count(&site.all_pods().await) > begun };
    assert!(eventually(seconds(GOES_ON), goes_on).await);
    println!("it went on after {:?}", killed.elapsed());
    let is_updated = |pods: &BTreeMap<String, Pod>| are_left(pods, &busy, "v2.0.0");
    site.until_rooms(&others[0], "updated", is_updated).await;
    expect_untouched(&busy, &site.all_pods().await);
    site.expect_single_creations();
    for pod in &busy {
        site.end_match(&pod.name_any()).await;
    }
    let is_new = || async { site.all_pods().await.values().all(is_of_update) };
    assert!(eventually(seconds(30), is_new).await);
}
