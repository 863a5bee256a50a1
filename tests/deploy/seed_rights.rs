//! With exactly the rights that the Go Maestro's documents list, rooms run, and a warning says what they lack.

use crate::preflight::SEED;
use crate::site::{account, plane};
use crate::support::{Home, eventually, seconds};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_rights_of_the_originals_documents_rooms_run_and_a_warning_says_what_is_missing() {
    let Some(plane) = plane().await else {
        return;
    };
    let user = account(&plane, "seed-rights", SEED).await;
    let home = Home::new();
    let kubeconfig = user.kubeconfig().display().to_string();
    let maestro = home.start_with(&[
        ("MAESTRO_RUNTIME_TYPE", "kubernetes"),
        (
            "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG",
            &kubeconfig,
        ),
    ]);
    // What the probes of the manifests ask for.
    for page in ["/healthz", "/readyz"] {
        assert_eq!(maestro.internal("GET", page, None).await.0, 200, "{page}");
    }
    let name = "seed-rights";
    let mut fleet = home.fleet_of(name, 2, &["maestro", "room", "--ping-interval", "200ms"]);
    let rooms_api = json!([{"name": "MAESTRO_ROOMS_API_URL", "value": maestro.rooms}]);
    fleet["spec"]["containers"][0]["environment"] = rooms_api;
    maestro.bring_up(&fleet).await;
    let (status, allocated) = maestro.allocate(name).await;
    assert_eq!(status, 200, "{allocated}");
    let says = |text: &str| {
        maestro
            .log
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("WARN") && line.contains(text))
    };
    let warns = || async { says("may not protect rooms from evictions") };
    assert!(eventually(seconds(20), warns).await, "{}", maestro.logged());
    maestro.remove(name).await;
    assert!(says("may not create events"), "{}", maestro.logged());
}
