//! A cluster whose users do things to a scheduler's namespace behind our back.

use crate::site::*;
use crate::support::{Home, eventually, history, seconds};
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn ready(count: u64) -> impl Fn(&Value) -> bool {
    move |info| info["roomsReady"] == count
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_come_back_whatever_is_deleted_by_hand() {
    let Some(site) = Site::open("harmed", 1).await else {
        return;
    };
    let home = Home::new();
    let maestro = site.start(&home);
    maestro
        .bring_up(&site.fleet(&home, &maestro.rooms, 3))
        .await;
    // Young pods, again and again, as when machines are emptied one after the other: that is no crash of the version.
    let by_hand = DeleteParams::default();
    for _ in 0..6 {
        let all = site.all_pods().await;
        let (room, _) = all.first_key_value().expect("a room");
        site.pods().delete(room, &by_hand).await.expect("deleted");
        let is_replaced =
            |pods: &BTreeMap<String, Pod>| pods.len() == 3 && !pods.contains_key(room);
        site.until_rooms(&maestro, "replaced", is_replaced).await;
        maestro.until_info("harmed", "replaced", ready(3)).await;
    }
    assert_eq!(maestro.state("harmed").await, "in-sync");
    let (_, page) = maestro.internal("GET", "/debug/actors", None).await;
    let actors = page["actors"].as_array().expect("a list").iter();
    let mut owner = actors.filter(|actor| actor["name"] == "harmed");
    let owner = &owner.next().expect("its owner")["scheduler"];
    assert_eq!(owner["crash_failures"], 0, "{owner}");
    // A pod that cannot go: its room is replaced, and nobody is sent there.
    let held = site.all_pods().await.into_keys().next().expect("a room");
    let finalizers = async |all: Value| {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": all}}));
        let (pods, how) = (site.pods(), PatchParams::default());
        let patched = pods.patch(&held, &how, &patch).await;
        patched.expect("a pod");
    };
    finalizers(json!(["example.com/held"])).await;
    site.pods().delete(&held, &by_hand).await.expect("deleted");
    let is_replaced = || async {
        let pods = site.all_pods().await;
        pods.len() == 4 && pods.contains_key(&held) && maestro.ready_rooms("harmed").await == 3
    };
    assert!(eventually(seconds(30), is_replaced).await);
    for _ in 0..3 {
        assert_ne!(allocate(&maestro, "harmed").await, held);
    }
    finalizers(Value::Null).await;
    let is_gone = || async { !site.all_pods().await.contains_key(&held) };
    assert!(eventually(seconds(30), is_gone).await);

    // One that somebody labelled as ours is one too many and the first to go, once nobody can play in it any more.
    let ours: Vec<_> = site.all_pods().await.into_values().collect();
    let foreign = json!({
        "metadata": {"name": "foreign", "labels": {"heritage": "maestro", "maestro-scheduler": "harmed"}},
        "spec": {
            "tolerations": [{"operator": "Exists"}], "nodeSelector": {"harmed": "true"},
            "containers": [{"name": "x", "image": "x", "command": ["sleep", "1000"]}],
        },
    });
    let foreign = serde_json::from_value(foreign).expect("a pod");
    let made = site.pods().create(&PostParams::default(), &foreign).await;
    made.expect("created");
    let foreign = "/schedulers/harmed/rooms/foreign";
    let is_drained = || async { maestro.get(foreign).await.1["room"]["draining"] == true };
    assert!(eventually(seconds(30), is_drained).await);
    expect_untouched(&ours, &site.all_pods().await);
    let at_once = format!("{foreign}?force=true");
    let removed = maestro.delete(&at_once).await;
    assert_eq!(removed.0, 200, "{}", removed.1);
    let is_gone = || async { !site.all_pods().await.contains_key("foreign") };
    assert!(eventually(seconds(30), is_gone).await);
    expect_untouched(&ours, &site.all_pods().await);

    // The whole namespace.
    let namespaces: Api<Namespace> = Api::all(site.plane.client().await);
    let before = namespaces.get("harmed").await.expect("it").metadata.uid;
    namespaces
        .delete("harmed", &by_hand)
        .await
        .expect("deleted");
    let is_new = || async {
        let now = namespaces.get_opt("harmed").await.expect("an answer");
        now.is_some_and(|now| now.metadata.uid != before)
    };
    assert!(eventually(seconds(60), is_new).await);
    maestro.until_info("harmed", "back", ready(3)).await;
    site.until_rooms(&maestro, "3", |pods| pods.len() == 3)
        .await;
    maestro.remove("harmed").await;
    site.until_namespace_is_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_named_and_rooms_come_when_it_grows() {
    let Some(site) = Site::open("quota", 1).await else {
        return;
    };
    let home = Home::new();
    let maestro = site.start(&home);
    maestro
        .bring_up(&site.fleet(&home, &maestro.rooms, 2))
        .await;
    let quotas: Api<ResourceQuota> = Api::namespaced(site.plane.client().await, "quota");
    let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}});
    let quota = serde_json::from_value(quota).expect("a quota");
    let few = quotas.create(&PostParams::default(), &quota).await;
    few.expect("created");
    let is_counted = || async {
        let quota = quotas.get("few").await.expect("it");
        let used = quota.status.and_then(|status| status.used);
        used.is_some_and(|used| used.get("pods").is_some_and(|pods| pods.0 == "2"))
    };
    assert!(eventually(seconds(30), is_counted).await);
    let order = json!({"amount": 2});
    let answer = maestro.post("/schedulers/quota/add-rooms", &order).await;
    let operation = maestro.done("quota", answer).await;
    let said = history(&operation);
    assert_eq!(operation["status"], "error", "{said}");
    assert!(said.contains("exceeded quota: few"), "{said}");
    // So does an edit, whose room has no place either: nothing of the version is left.
    let answer = maestro
        .patch("/schedulers/quota", &another(&maestro.rooms, "2"))
        .await;
    let operation = maestro.done("quota", answer).await;
    let said = history(&operation);
    assert_eq!(operation["status"], "error", "{said}");
    assert!(said.contains("exceeded quota: few"), "{said}");
    let edit = json!({"roomsReplicas": 4});
    let (status, answer) = maestro.patch("/schedulers/quota", &edit).await;
    assert_eq!(status, 200, "{answer}");
    let more = Patch::Merge(json!({"spec": {"hard": {"pods": "10"}}}));
    let more = quotas.patch("few", &PatchParams::default(), &more).await;
    more.expect("patched");
    maestro.until_info("quota", "grown", ready(4)).await;
}
