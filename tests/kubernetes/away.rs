//! The API server is away while rooms are used, and when Maestro starts.

use crate::site::*;
use crate::support::{Home, eventually, seconds};
use maestro_testkit::control_plane::{ApiProxy, Fault};
use serde_json::{Value, json};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_served_and_kept_while_the_api_server_is_away() {
    let Some(site) = Site::open("away", 1).await else {
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

    proxy.set(|_| Some(Fault::Reset));
    proxy.reset_watches();
    // Its protection cannot be written, which nobody waits for any longer than this.
    let asked = Instant::now();
    let busy = allocate(&maestro, "away").await;
    assert!(asked.elapsed() < seconds(2), "{:?}", asked.elapsed());
    site.play(&busy).await;
    let is_used = |info: &Value| info["roomsOccupied"] == 1 && info["roomsReady"] == 2;
    maestro.until_info("away", "in use", is_used).await;
    // From now on nothing is refused and nothing is answered. No version is to blame for that.
    proxy.set(|_| Some(Fault::Ignore));
    let edit = json!({"roomsReplicas": 5});
    let (status, answer) = maestro.patch("/schedulers/away", &edit).await;
    assert_eq!(status, 200, "{answer}");
    let has_failed = || async {
        let path = "/schedulers/away/operations?stage=final&perPage=100";
        let (_, ended) = maestro.get(path).await;
        let ended = ended["operations"].as_array().cloned().unwrap_or_default();
        let mut adds = ended.iter().filter(|one| one["status"] == "error");
        adds.any(|one| one["definitionName"] == "add_rooms")
    };
    assert!(eventually(seconds(60), has_failed).await);
    let (_, scheduler) = maestro.get("/schedulers/away").await;
    assert_eq!(scheduler["scheduler"]["state"], "in-sync", "{scheduler}");
    proxy.set(|_| Some(Fault::Reset));
    maestro.kill();
    let maestro = home.start_only(&environment);
    maestro.until_info("away", "in use again", is_used).await;

    proxy.set(|_| None);
    maestro.wait_ready("away", 4).await;
    let pods = site.all_pods().await;
    expect_untouched(&before, &pods);
    let is_seen =
        |pods: &std::collections::BTreeMap<_, _>| pods.get(&busy).is_some_and(is_protected);
    site.until_rooms(&maestro, "protected", is_seen).await;
    site.expect_single_creations();
}
