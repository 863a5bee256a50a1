//! What the API server refuses ends the operation, with its words, and leaves nothing behind.

use crate::site::*;
use crate::support::{Home, history};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_the_api_server_refuses_ends_in_error_with_its_words() {
    let Some(site) = Site::open("refused", 1).await else {
        return;
    };
    let home = Home::new();
    let maestro = site.start(&home);
    maestro
        .bring_up(&site.fleet(&home, &maestro.rooms, 2))
        .await;
    let before: Vec<_> = site.all_pods().await.into_values().collect();
    let container = |member: &str, value| json!({"spec": {"containers": [{member: value}]}});
    for (edit, words, attempts) in [
        (
            container("requests", json!({"cpu": "lots", "memory": "20Mi"})),
            "quantities must match",
            1,
        ),
        (
            container("limits", json!({"cpu": "1m", "memory": "100Mi"})),
            "must be less than or equal to cpu limit",
            1,
        ),
        (
            container("image", json!(LOST_IMAGE)),
            "Back-off pulling image",
            3,
        ),
        (json!({"labels": {"no label": "x"}}), "no label", 1),
        (json!({"spec": {"toleration": "no value!"}}), "no value!", 1),
        (json!({"spec": {"affinity": "no key!"}}), "no key!", 1),
    ] {
        let answer = maestro.patch("/schedulers/refused", &edit).await;
        let operation = maestro.done("refused", answer).await;
        let said = history(&operation);
        assert_eq!(operation["status"], "error", "{edit}: {said}");
        assert!(said.contains(words), "{edit}: {said}");
        let tried = said.matches(" failed: ").count() - 1;
        assert_eq!(tried, attempts, "{edit}: {said}");
    }
    let pods = site.all_pods().await;
    expect_untouched(&before, &pods);
    site.until_rooms(&maestro, "2", |pods| pods.len() == 2)
        .await;
    assert_eq!(maestro.state("refused").await, "in-sync");
}
