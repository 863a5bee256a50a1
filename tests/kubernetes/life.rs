//! The life of a fleet on one node of ours with the embedded store, which is killed in the middle of an update.

use crate::site::*;
use crate::support::{Home, eventually, seconds};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_made_grows_is_updated_outlives_its_orchestrator_and_is_deleted() {
    let Some(site) = Site::open("life", 2).await else {
        return;
    };
    let home = Home::new();
    let maestro = site.start(&home);
    let mut fleet = site.fleet(&home, &maestro.rooms, 4);
    fleet["autoscaling"] = json!({
        "enabled": true, "min": 4, "max": 20, "cooldown": 0,
        "policy": {"type": "fixedBuffer", "parameters": {"fixedBuffer": {"amount": 4}}},
    });
    maestro.bring_up(&fleet).await;
    site.until_rooms(&maestro, "4", |pods| pods.len() == 4)
        .await;
    // Two of them are used: there are two more.
    let mut busy = Vec::new();
    for _ in 0..2 {
        let room = allocate(&maestro, "life").await;
        site.play(&room).await;
        busy.push(site.pod(&room).await);
    }
    maestro
        .until_info("life", "grown", |info| {
            info["roomsOccupied"] == 2 && info["roomsReady"] == 4
        })
        .await;
    site.until_rooms(&maestro, "6", |pods| pods.len() == 6)
        .await;

    let page = metrics(&maestro).await;
    let calls = "maestro_kubernetes_calls_total";
    let sent = |urgency| sample(&page, calls, &[urgency]);
    assert!(sent("urgency=\"normal\"") >= 6.0, "one for each pod");
    assert!(sent("urgency=\"urgent\"") >= 2.0, "protections");
    assert!(page.contains("maestro_kubernetes_calls_waiting 0"));

    let edit = another(&maestro.rooms, "2");
    let answer = maestro.patch("/schedulers/life", &edit).await;
    maestro.done("life", answer).await;
    let has_begun = || async {
        let pods = site.all_pods().await;
        let is_new = |pod| version(pod) == "v2.0.0" && !is_validation(pod);
        pods.values().any(is_new)
    };
    assert!(eventually(seconds(30), has_begun).await);
    let room = allocate(&maestro, "life").await;
    site.play(&room).await;
    busy.push(site.pod(&room).await);
    maestro.kill();
    let before = site.all_pods().await;
    let maestro = site.start(&home);
    // Nobody is left but those in which somebody plays.
    let is_updated = |pods: &BTreeMap<String, Pod>| are_left(pods, &busy, "v2.0.0");
    site.until_rooms(&maestro, "updated", is_updated).await;
    maestro
        .until_info("life", "ready", |info| {
            info["roomsOccupied"] == 3 && info["roomsReady"].as_u64() >= Some(4)
        })
        .await;
    let now = site.all_pods().await;
    expect_untouched(&busy, &now);
    for (name, pod) in &now {
        let old = before.get(name);
        assert!(old.is_none_or(|old| old.uid() == pod.uid()), "{name}");
    }
    site.expect_single_creations();

    for pod in &busy {
        site.end_match(&pod.name_any()).await;
    }
    let is_over = |pods: &BTreeMap<String, Pod>| pods.len() == 4 && are_left(pods, &[], "v2.0.0");
    site.until_rooms(&maestro, "4 of the update", is_over).await;
    maestro.remove("life").await;
    site.until_namespace_is_gone().await;
}
