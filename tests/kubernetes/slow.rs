//! An API server that takes five seconds for each answer, and one that may be asked seldom.

use crate::site::*;
use crate::support::{Home, eventually, seconds};
use maestro_testkit::control_plane::{ApiCall, ApiProxy, Fault};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const DELAY: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn with_a_slow_api_server_work_is_slow_and_rooms_are_given_as_ever() {
    let Some(site) = Site::open("slow", 1).await else {
        return;
    };
    let proxy = ApiProxy::start(site.plane.kubeconfig()).await;
    let kubeconfig = proxy.kubeconfig().display().to_string();
    let mut environment = site.environment();
    let key = "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG";
    environment.push((key.to_owned(), kubeconfig));
    let environment = borrowed(&environment);
    let home = Home::new();
    let maestro = home.start_with(&environment);
    maestro
        .bring_up(&site.fleet(&home, &maestro.rooms, 3))
        .await;
    let before: Vec<_> = site.all_pods().await.into_values().collect();

    proxy.set(|call| {
        let watches = call.query.contains("watch=true");
        (!watches).then_some(Fault::Delay(seconds(DELAY)))
    });
    let asked = Instant::now();
    let busy = allocate(&maestro, "slow").await;
    assert!(asked.elapsed() < seconds(2), "{:?}", asked.elapsed());
    site.play(&busy).await;
    let edit = json!({"roomsReplicas": 5});
    let (status, answer) = maestro.patch("/schedulers/slow", &edit).await;
    assert_eq!(status, 200, "{answer}");
    maestro.wait_ready("slow", 4).await;
    // Its creations take as long as they may, and more. Their rooms are kept nevertheless.
    let are_over = || async {
        let (_, active) = maestro
            .get("/schedulers/slow/operations?stage=active")
            .await;
        active["operations"] == json!([])
    };
    assert!(eventually(seconds(60), are_over).await);
    let is_deletion = |call: &ApiCall| call.method == "DELETE" && call.path.contains("/pods/");
    let deletions: Vec<_> = proxy.calls().into_iter().filter(is_deletion).collect();
    assert!(deletions.is_empty(), "{deletions:?}");
    let is_seen = || async { is_protected(&site.pod(&busy).await) };
    assert!(eventually(seconds(30), is_seen).await);

    // A list takes its time too, before which nothing is concluded.
    maestro.kill();
    let maestro = home.start_only(&environment);
    let is_used = |info: &Value| info["roomsOccupied"] == 1 && info["roomsReady"] == 4;
    maestro.until_info("slow", "in use again", is_used).await;
    expect_untouched(&before, &site.all_pods().await);
    site.expect_single_creations();
    site.end_match(&busy).await;
    let (status, answer) = maestro.delete("/schedulers/slow").await;
    assert_eq!(status, 200, "{answer}");
    // Some ten calls, one after the other.
    let is_gone = || async { maestro.get("/schedulers/slow").await.0 == 404 };
    assert!(eventually(seconds(120), is_gone).await);
    site.until_namespace_is_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creations_that_wait_for_their_turn_keep_their_time() {
    const ROOMS: usize = 25;
    let Some(site) = Site::status_only("seldom", 1, Duration::from_millis(100)).await else {
        return;
    };
    let proxy = ApiProxy::start(site.plane.kubeconfig()).await;
    let kubeconfig = proxy.kubeconfig().display().to_string();
    let mut environment = site.environment();
    // The last of them waits for more than three seconds.
    for (key, value) in [
        (
            "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG",
            kubeconfig.as_str(),
        ),
        ("MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_QPS", "5"),
        ("MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_BURST", "5"),
        ("MAESTRO_OPERATIONS_ROOMS_ADD_OPERATIONTIMEOUT", "1s"),
    ] {
        environment.push((key.to_owned(), value.to_owned()));
    }
    let home = Home::new();
    let maestro = home.start_with(&borrowed(&environment));
    let fleet = site.fleet(&home, &maestro.rooms, u32::try_from(ROOMS).unwrap());
    let (status, told) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{told}");
    let are_there = || async { site.all_pods().await.len() == ROOMS };
    assert!(eventually(seconds(60), are_there).await);
    let path = "/schedulers/seldom/operations?stage=final&perPage=100";
    let has_ended = || async {
        let (_, ended) = maestro.get(path).await;
        let ended = ended["operations"].as_array().cloned().unwrap_or_default();
        let adds = |one: &&Value| one["definitionName"] == "add_rooms";
        let mut adds = ended.iter().filter(adds).peekable();
        adds.peek().is_some() && adds.all(|one| one["status"] == "finished")
    };
    assert!(
        eventually(seconds(20), has_ended).await,
        "{:?}",
        maestro.get(path).await
    );
    let is_write =
        |call: &ApiCall| call.path.contains("/pods") && ["POST", "DELETE"].contains(&&*call.method);
    let writes = proxy.calls().into_iter().filter(is_write);
    let writes: Vec<_> = writes.map(|call| call.method).collect();
    assert_eq!(writes, ["POST"; ROOMS]);
}
