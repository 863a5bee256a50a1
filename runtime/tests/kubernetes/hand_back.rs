//! Budgets are handed back to the Go Maestro, which writes their numbers only (contract 4.9).

use crate::site::{Site, plane, settings};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Protection, Runtime};
use maestro_runtime::kubernetes::{all_rooms, hand_back};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use serde_json::{Value, json};

async fn spec(budgets: &Api<PodDisruptionBudget>, name: &str) -> Value {
    let spec = budgets.get(name).await.unwrap().spec;
    serde_json::to_value(spec.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_select_all_rooms_again_and_a_foreign_one_stays() {
    let Some(site) = Site::open().await else {
        return;
    };
    let (name, other) = ("back-ours", "back-foreign");
    let stage = Stage::set(&site, scheduler(name, RUNS)).await;
    for room in 0..3 {
        stage.create(&format!("{name}-{room}")).await.unwrap();
    }
    let busy = format!("{name}-0");
    let all = all_rooms(&settings(&plane().await.unwrap())).await.unwrap();
    let of_one = all
        .iter()
        .filter(|(scheduler, _)| scheduler.as_str() == name);
    assert_eq!(of_one.count(), 3, "{all:?}");
    let order = Protection {
        on: vec![busy.as_str().into()],
        number: 1,
        all: true,
        ..Protection::default()
    };
    site.runtime.protect(&name.into(), &order).await.unwrap();
    let _other = Stage::set(&site, scheduler(other, RUNS)).await;
    let foreign = json!({"minAvailable": 7, "selector": {"matchLabels": {"team": "core"}}});
    let object = json!({"metadata": {"name": other}, "spec": foreign});
    let object = serde_json::from_value(object).unwrap();
    let foreigners: Api<PodDisruptionBudget> = Api::namespaced(site.client.clone(), other);
    let new = PostParams::default();
    foreigners.create(&new, &object).await.unwrap();

    let settings = settings(&plane().await.unwrap());
    let all: Vec<SchedulerName> = [name, other, "back-nowhere"].map(Into::into).into();
    assert_eq!(hand_back(&settings, &all, 0.05).await.unwrap(), 1);
    assert_eq!(
        hand_back(&settings, &all, 0.05).await.unwrap(),
        0,
        "it can be repeated"
    );
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(site.client.clone(), name);
    let theirs =
        json!({"minAvailable": 2, "selector": {"matchLabels": {"maestro-scheduler": name}}});
    assert_eq!(spec(&budgets, name).await, theirs);
    assert_eq!(spec(&foreigners, other).await, foreign);
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), name);
    let pod = pods.get(&busy).await.unwrap();
    assert!(!pod.labels().contains_key("maestro-protected"));
    let safe = &pod.annotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"];
    assert_eq!(safe, "true");
}
