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
use maestro_testkit::control_plane::{ApiProxy, Fault};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};

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
}
