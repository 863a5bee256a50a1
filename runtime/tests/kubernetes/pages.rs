//! A list of more pods than a page has.

use crate::bare::{account, plane};
use crate::site::Site;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use maestro_core::domain::{Instance, RoomId};
use maestro_core::ports::RuntimeEvent;
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ApiProxy, ControlPlane, Fault};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const NAME: &str = "pages";
/// One more than in a page.
const ROOMS: usize = 501;

fn room(number: usize) -> String {
    format!("{NAME}-{number:03}")
}

/// As an earlier process left it.
async fn make(pods: &Api<Pod>, number: usize) -> kube::Result<()> {
    let labels = json!({"heritage": "maestro", "maestro-scheduler": NAME, "version": "v1.0.0"});
    let pod = json!({
        "metadata": {"name": room(number), "labels": labels},
        "spec": {"containers": [{"name": "x", "image": "x"}]},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_breaks_between_two_pages_begins_anew() {
    let Some(plane) = plane().await else {
        return;
    };
    let first = Site::by(&plane, plane.kubeconfig().to_owned()).await;
    let stage = Stage::set(&first, scheduler(NAME, RUNS)).await;
    account(&first.client, NAME).await;
    let pods: Api<Pod> = Api::namespaced(first.client.clone(), NAME);
    let made = stream::iter(0..ROOMS).map(|number| make(&pods, number));
    made.buffer_unordered(16).try_collect::<()>().await.unwrap();

    let proxy = ApiProxy::start(plane.kubeconfig()).await;
    let seconds = AtomicU32::new(0);
    let behind = plane.clone();
    proxy.set(move |call| {
        let is_second = call.path == "/api/v1/pods" && call.query.contains("continue=");
        if !is_second || seconds.fetch_add(1, Ordering::Relaxed) > 0 {
            return None;
        }
        // It was in the first page.
        let by_hand = ["delete", "pod", &room(0), "-n", NAME];
        tokio::task::block_in_place(|| behind.kubectl(&by_hand)).unwrap();
        Some(Fault::Reset)
    });
    let next = Site::by(&plane, proxy.kubeconfig()).await;
    let mut stage = Stage::resume(&next, stage.scheduler.clone()).await;
    let RuntimeEvent::Listed(all) = stage.next().await else {
        panic!("a watch begins with a list");
    };
    let is_gone = |listed: &Instance| listed.room == RoomId::from(room(0).as_str());
    assert!(!all.iter().any(is_gone), "it is listed");
    assert_eq!(all.len(), ROOMS - 1);
    for number in ROOMS..ROOMS + 2 {
        make(&pods, number).await.unwrap();
    }
    a_room_that_has_ended_when_its_creation_is_answered_is_looked_up(&plane, &proxy, stage).await;
}

/// The list does not have it, which says nothing of a room that was made while it was read; and the watch that follows
/// has nothing to tell of it.
async fn a_room_that_has_ended_when_its_creation_is_answered_is_looked_up(
    plane: &ControlPlane,
    proxy: &ApiProxy,
    mut stage: Stage,
) {
    const LATE: &str = "pages-late";
    let is_creation = |call: &ApiCall| call.method == "POST" && call.path.ends_with("/pages/pods");
    let is_second = |call: &ApiCall| call.query.contains("continue=");
    proxy.mute_watches(true);
    proxy.set(move |call| is_creation(call).then_some(Fault::HoldAnswer));
    let order = stage.order(LATE).await.unwrap();
    let runtime = stage.runtime.clone();
    let created = tokio::spawn(async move { runtime.create(&order).await });
    let by_hand = ["delete", "pod", LATE, "-n", NAME];
    while plane.kubectl(&by_hand).is_err() {}

    let refused = AtomicU32::new(0);
    proxy.set(move |call| {
        let is_watch = call.query.contains("watch=true");
        if is_creation(call) || is_second(call) {
            return Some(Fault::HoldAnswer);
        }
        let is_first = is_watch && refused.fetch_add(1, Ordering::Relaxed) == 0;
        is_first.then_some(Fault::Refuse {
            code: 410,
            reason: "Expired",
            retry_after: None,
        })
    });
    let asked = proxy.calls().len();
    proxy.reset_watches();
    while !proxy.calls()[asked..].iter().any(is_second) {
        sleep(Duration::from_millis(20)).await;
    }
    proxy.mute_watches(false);
    proxy.set(move |call| is_second(call).then_some(Fault::HoldAnswer));
    let created = created.await.unwrap().unwrap();
    proxy.set(|_| None);
    let (uid, _) = stage.until_gone(&LATE.into()).await;
    assert_eq!(uid, created.uid);
}
