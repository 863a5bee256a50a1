//! Operations: they are created, shown and canceled, and each has its history.

mod support;

use serde_json::{Value, json};
use support::{Home, Maestro, eventually, history, seconds};

fn named(operations: &[Value], name: &str) -> Vec<Value> {
    let of = operations.iter().filter(|o| o["definitionName"] == name);
    of.cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_added_and_removed_by_number() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("count", 1)).await;
    let added = maestro
        .post("/schedulers/count/add-rooms", &json!({"amount": 3}))
        .await;
    let added = maestro.done("count", added).await;
    assert_eq!(
        (&added["status"], &added["input"]["amount"]),
        (&json!("finished"), &json!(3))
    );
    maestro.wait_ready("count", 4).await;
    assert_eq!(maestro.info("count").await["roomsReplicas"], 4);
    let removed = maestro
        .post("/schedulers/count/remove-rooms", &json!({"amount": 2}))
        .await;
    let removed = maestro.done("count", removed).await;
    assert_eq!(removed["status"], "finished", "{}", history(&removed));
    maestro.wait_ready("count", 2).await;
    assert_eq!(maestro.info("count").await["roomsReplicas"], 2);
    for path in ["add-rooms", "remove-rooms"] {
        for amount in [0, -1, 1_000_000] {
            let body = json!({ "amount": amount });
            let path = format!("/schedulers/count/{path}");
            let (status, answer) = maestro.post(&path, &body).await;
            assert_eq!((status, &answer["code"]), (400, &json!(3)), "{answer}");
        }
        let body = json!({"amount": 1});
        let path = format!("/schedulers/nobody/{path}");
        let (status, answer) = maestro.post(&path, &body).await;
        assert_eq!((status, &answer["code"]), (404, &json!(5)), "{answer}");
    }
    maestro.remove("count").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_listed_in_pages_and_orders() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("pages", 1)).await;
    for seconds in [0, 0, 0] {
        let id = maestro.test_operation("pages", seconds).await;
        assert_eq!(maestro.ended("pages", &id).await["status"], "finished");
    }
    let get = |query: &'static str| {
        let maestro = &maestro;
        async move {
            maestro
                .get(&format!("/schedulers/pages/operations{query}"))
                .await
        }
    };
    let (_, all) = get("?stage=final").await;
    let total = all["total"].as_u64().unwrap();
    assert!(total >= 5, "{all}");
    let (_, page) = get("?stage=final&page=2&perPage=2").await;
    assert_eq!(
        (&page["page"], &page["pageSize"], page["total"].as_u64()),
        (&json!(2), &json!(2), Some(total))
    );
    assert_eq!(page["operations"].as_array().unwrap().len(), 2);
    let (_, newest) = get("?stage=final&perPage=100").await;
    let (_, oldest) = get("?stage=final&perPage=100&orderBy=createdAt%20asc").await;
    let mut turned = oldest["operations"].as_array().unwrap().clone();
    turned.reverse();
    assert_eq!(&turned, newest["operations"].as_array().unwrap());
    for wrong in [
        "",
        "?stage=all",
        "?stage=final&page=0",
        "?stage=active&page=1",
        "?stage=final&orderBy=name",
    ] {
        let (status, body) = get(wrong).await;
        assert_eq!((status, &body["code"]), (400, &json!(3)), "{wrong}: {body}");
    }
    assert_eq!(
        maestro
            .get("/schedulers/nobody/operations?stage=final")
            .await
            .0,
        200
    );
    let unknown = "/schedulers/pages/operations/00000000-0000-4000-8000-000000000000";
    assert_eq!(maestro.get(unknown).await.0, 404);
    maestro.remove("pages").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_operation_shows_its_lease_and_can_be_canceled() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("lease", 1)).await;
    let id = maestro.test_operation("lease", 600).await;
    let running = eventually(seconds(10), || async {
        let active = maestro.operations("lease", "active").await;
        active
            .iter()
            .any(|o| o["id"] == id.as_str() && o["lease"]["ttl"].is_string())
    });
    assert!(
        running.await,
        "{:?}",
        maestro.operations("lease", "active").await
    );
    // A second one waits behind it, and can be canceled there too.
    let waiting = maestro.test_operation("lease", 600).await;
    let pending = eventually(seconds(5), || async {
        let pending = maestro.operations("lease", "pending").await;
        pending.iter().any(|o| o["id"] == waiting.as_str())
    });
    assert!(pending.await);
    for id in [&waiting, &id] {
        let path = format!("/schedulers/lease/operations/{id}/cancel");
        let (status, body) = maestro.post(&path, &json!({})).await;
        assert_eq!((status, body), (200, json!({})));
        let ended = maestro.ended("lease", id).await;
        assert_eq!(ended["status"], "canceled", "{}", history(&ended));
        let (status, body) = maestro.post(&path, &json!({})).await;
        assert_eq!((status, &body["code"]), (409, &json!(10)), "{body}");
    }
    let missing = "/schedulers/lease/operations/00000000-0000-4000-8000-000000000000/cancel";
    let (status, body) = maestro.post(missing, &json!({})).await;
    assert_eq!((status, &body["code"]), (404, &json!(5)), "{body}");
    maestro.remove("lease").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_operation_on_rooms_does_not_hold_up_a_patch() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("lanes", 1)).await;
    let long = maestro.test_operation("lanes", 600).await;
    let active = eventually(seconds(10), || async {
        !maestro.operations("lanes", "active").await.is_empty()
    });
    assert!(active.await);
    let patch = json!({"annotations": {"imperative": "true"}, "maxSurge": "2"});
    let answer = maestro.patch("/schedulers/lanes", &patch).await;
    let patched = maestro.done("lanes", answer).await;
    assert_eq!(patched["status"], "finished", "{}", history(&patched));
    let (_, body) = maestro
        .get(&format!("/schedulers/lanes/operations/{long}"))
        .await;
    assert_eq!(body["operation"]["status"], "in_progress", "{body}");
    // A deletion does not wait for it either.
    maestro.remove("lanes").await;
    assert!(home.processes().is_empty());
}

/// The id of a periodic operation, taken from the active and pending stages.
async fn seen_periodic(maestro: &Maestro, name: &str) -> Option<String> {
    let found = std::cell::RefCell::new(None);
    let came = eventually(seconds(30), || async {
        for stage in ["active", "pending"] {
            let listed = named(&maestro.operations("tick", stage).await, name);
            if let Some(operation) = listed.first() {
                *found.borrow_mut() = operation["id"].as_str().map(str::to_owned);
                return true;
            }
        }
        false
    });
    came.await;
    found.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn periodic_operations_run_on_their_ticks_and_stay_out_of_the_history() {
    let home = Home::new();
    let maestro = home.start_with(&[
        ("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "100ms"),
        ("MAESTRO_WORKERS_STORAGECLENUPINTERVAL", "100ms"),
    ]);
    maestro.bring_up(&home.fleet("tick", 1)).await;
    for name in ["health_controller", "storage_clean_up"] {
        // It waits behind a long operation, where it can be seen.
        let long = maestro.test_operation("tick", 600).await;
        let id = seen_periodic(&maestro, name).await;
        let id = id.unwrap_or_else(|| panic!("no {name} was seen"));
        let path = format!("/schedulers/tick/operations/{long}/cancel");
        assert_eq!(maestro.post(&path, &json!({})).await.0, 200);
        let ended = maestro.ended("tick", &id).await;
        assert_eq!(ended["status"], "finished", "{}", history(&ended));
        if name == "health_controller" {
            assert_eq!(ended["input"], json!({"took_action": false}));
        }
        let listed = maestro.operations("tick", "final").await;
        assert!(named(&listed, name).is_empty(), "{listed:?}");
    }
    maestro.remove("tick").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ticks_only_the_health_controller_brings_the_fleet_up_and_that_is_history() {
    let home = Home::new();
    let maestro = home.start_with(&[
        ("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "300ms"),
        ("MAESTRO_WORKERS_EVENTDRIVEN", "false"),
    ]);
    maestro.bring_up(&home.fleet("ticks", 2)).await;
    let listed = maestro.operations("ticks", "final").await;
    let acted = named(&listed, "health_controller");
    assert!(!acted.is_empty(), "{listed:?}");
    let id = acted[0]["id"].as_str().unwrap();
    let whole = maestro.ended("ticks", id).await;
    assert_eq!(whole["input"], json!({"took_action": true}), "{whole}");
    assert!(
        history(&whole).contains("enqueued operation"),
        "{}",
        history(&whole)
    );
    maestro.remove("ticks").await;
}
