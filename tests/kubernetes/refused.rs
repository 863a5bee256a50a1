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
    let mut environment = site.environment();
    let key = "MAESTRO_SERVICES_ROOMMANAGER_ROOMVALIDATIONATTEMPTS";
    environment.push((key.to_owned(), "1".to_owned()));
    let maestro = home.start_with(&borrowed(&environment));
    maestro
        .bring_up(&site.fleet(&home, &maestro.rooms, 2))
        .await;
    let before: Vec<_> = site.all_pods().await.into_values().collect();
    let container = |member: &str, value| json!({"spec": {"containers": [{member: value}]}});
    for (edit, words) in [
        (
            container("requests", json!({"cpu": "lots", "memory": "20Mi"})),
            "quantities must match",
        ),
        (
            container("limits", json!({"cpu": "1m", "memory": "100Mi"})),
            "must be less than or equal to cpu limit",
        ),
        (
            container("image", json!(LOST_IMAGE)),
            "Back-off pulling image",
        ),
        (json!({"labels": {"no label": "x"}}), "no label"),
        (json!({"spec": {"toleration": "no value!"}}), "no value!"),
        (json!({"spec": {"affinity": "no key!"}}), "no key!"),
    ] {
        let answer = maestro.patch("/schedulers/refused", &edit).await;
        let operation = maestro.done("refused", answer).await;
        let said = history(&operation);
        assert_eq!(operation["status"], "error", "{edit}: {said}");
        assert!(said.contains(words), "{edit}: {said}");
    }
    let pods = site.all_pods().await;
    expect_untouched(&before, &pods);
    site.until_rooms(&maestro, "2", |pods| pods.len() == 2)
        .await;
    assert_eq!(maestro.state("refused").await, "in-sync");
}
