//! What users change about a running fleet: numbers, versions, autoscaling.

mod support;

use serde_json::{Value, json};
use support::{Home, Maestro, eventually, history, seconds};

async fn patched(maestro: &Maestro, scheduler: &str, patch: Value) -> Value {
    let answer = maestro
        .patch(&format!("/schedulers/{scheduler}"), &patch)
        .await;
    let operation = maestro.done(scheduler, answer).await;
    assert_eq!(operation["status"], "finished", "{}", history(&operation));
    operation
}

async fn active_version(maestro: &Maestro, scheduler: &str) -> String {
    let (_, body) = maestro.get(&format!("/schedulers/{scheduler}")).await;
    body["scheduler"]["spec"]["version"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

async fn until_version(maestro: &Maestro, scheduler: &str, version: &str) {
    let came = eventually(seconds(20), || async {
        active_version(maestro, scheduler).await == version
    });
    assert!(came.await, "{}", active_version(maestro, scheduler).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_rooms_is_a_minor_version_and_replaces_none() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("arena", 3)).await;
    let before = home.pids("arena");
    patched(
        &maestro,
        "arena",
        json!({"roomsReplicas": 5, "maxSurge": "50%"}),
    )
    .await;
    maestro.wait_ready("arena", 5).await;
    assert_eq!(active_version(&maestro, "arena").await, "v1.1.0");
    let (_, body) = maestro.get("/schedulers/arena").await;
    assert_eq!(body["scheduler"]["maxSurge"], "50%");
    let now = home.pids("arena");
    assert!(before.iter().all(|room| now.contains(room)), "{now:?}");

    patched(&maestro, "arena", json!({"roomsReplicas": 1})).await;
    maestro
        .until_info("arena", "one room", |i| {
            i["roomsReady"] == 1 && i["roomsTerminating"] == 0
        })
        .await;
    until_version(&maestro, "arena", "v1.2.0").await;
    let gone = eventually(seconds(10), || async { home.pids("arena").len() == 1 });
    assert!(gone.await, "{:?}", home.pids("arena"));
    maestro.remove("arena").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_is_a_major_version_that_replaces_every_room() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("roll", 3)).await;
    let before = home.pids("roll");
    let command = ["maestro", "room", "--ping-interval", "200ms"];
    patched(
        &maestro,
        "roll",
        json!({"spec": {"containers": [{"command": command}]}}),
    )
    .await;
    until_version(&maestro, "roll", "v2.0.0").await;
    let replaced = eventually(seconds(30), || async {
        let now = home.pids("roll");
        now.len() == 3 && !now.iter().any(|room| before.contains(room))
    });
    assert!(replaced.await, "{before:?} {:?}", home.pids("roll"));
    maestro.wait_ready("roll", 3).await;
    let (_, body) = maestro.get("/schedulers/roll/versions").await;
    let versions: Vec<_> = body["versions"].as_array().unwrap().iter().collect();
    assert_eq!(versions.len(), 2, "{body}");
    assert_eq!(
        (&versions[0]["version"], &versions[0]["isActive"]),
        (&json!("v2.0.0"), &json!(true))
    );

    // A switch goes back to it.
    let answer = maestro
        .call(
            "PUT",
            &format!("{}/schedulers/roll", maestro.management),
            Some(&json!({"version": "v1.0.0"})),
        )
        .await;
    let switch = maestro.done("roll", answer).await;
    assert_eq!(switch["status"], "finished", "{}", history(&switch));
    until_version(&maestro, "roll", "v1.0.0").await;
    maestro.wait_ready("roll", 3).await;
    maestro.remove("roll").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_room_fails_never_becomes_active() {
    let home = Home::new();
    let attempts = "MAESTRO_SERVICES_ROOMMANAGER_ROOMVALIDATIONATTEMPTS";
    let maestro = home.start_with(&[(attempts, "2")]);
    maestro.bring_up(&home.fleet("safe", 2)).await;
    let before = home.pids("safe");
    let command = ["sh", "-c", "echo a wrong word; exit 3"];
    let patch = json!({"spec": {"containers": [{"command": command}]}});
    let answer = maestro.patch("/schedulers/safe", &patch).await;
    let operation = maestro.done("safe", answer).await;
    assert_eq!(operation["status"], "error", "{}", history(&operation));
    let told = history(&operation);
    assert!(
        told.contains("exit code 3") && told.contains("a wrong word"),
        "{told}"
    );
    assert_eq!(active_version(&maestro, "safe").await, "v1.0.0");
    assert_eq!(home.pids("safe"), before);
    assert_eq!(maestro.state("safe").await, "in-sync");
    maestro.remove("safe").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_refused_and_what_is_missing_is_told_later() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("strict", 1)).await;
    let patch = |body: Value| {
        let maestro = &maestro;
        async move { maestro.patch("/schedulers/strict", &body).await }
    };
    let (status, body) = patch(json!({})).await;
    assert_eq!((status, &body["code"]), (409, &json!(6)), "{body}");
    for wrong in [
        json!({"roomsReplicas": -1}),
        json!({"maxSurge": "much"}),
        json!({"roomsReplicas": "many"}),
    ] {
        let (status, body) = patch(wrong.clone()).await;
        assert_eq!((status, &body["code"]), (400, &json!(3)), "{wrong}: {body}");
    }
    let (status, body) = maestro
        .patch("/schedulers/nobody", &json!({"roomsReplicas": 1}))
        .await;
    assert_eq!((status, &body["code"]), (404, &json!(5)), "{body}");
    let url = format!("{}/schedulers/strict", maestro.management);
    let switch = maestro
        .call("PUT", &url, Some(&json!({"version": "v9.9.9"})))
        .await;
    let switch = maestro.done("strict", switch).await;
    assert_eq!(switch["status"], "error", "{}", history(&switch));
    assert_eq!(active_version(&maestro, "strict").await, "v1.0.0");
    maestro.remove("strict").await;
}

/// Autoscaling that keeps half of the rooms free.
fn half_free(min: u32, max: i32) -> Value {
    json!({"enabled": true, "min": min, "max": max, "cooldown": 0, "policy": {
        "type": "roomOccupancy",
        "parameters": {"roomOccupancy": {"readyTarget": 0.5, "downThreshold": 0.99}},
    }})
}

async fn ping_all(maestro: &Maestro, home: &Home, status: &str) {
    for (room, _) in home.pids("auto") {
        maestro
            .ping(
                "auto",
                &room,
                &json!({"status": status, "runningMatches": 0}),
            )
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occupied_fleet_grows_to_its_maximum_and_shrinks_to_its_minimum() {
    let home = Home::new();
    let maestro = home.start_with(&[("MAESTRO_WORKERS_HEALTHCONTROLLERINTERVAL", "200ms")]);
    let mut fleet = home.mute_fleet("auto", 1);
    fleet["autoscaling"] = half_free(2, 5);
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let grown = |rooms: usize, word: &'static str| {
        let (maestro, home) = (&maestro, &home);
        eventually(seconds(20), move || async move {
            ping_all(maestro, home, word).await;
            home.pids("auto").len() == rooms
        })
    };
    assert!(
        grown(2, "ready").await,
        "the minimum: {:?}",
        home.pids("auto")
    );
    assert!(
        grown(5, "occupied").await,
        "the maximum: {:?}",
        home.pids("auto")
    );
    assert!(grown(2, "ready").await, "back: {:?}", home.pids("auto"));
    patched(
        &maestro,
        "auto",
        json!({"autoscaling": {"min": 3, "max": 3}}),
    )
    .await;
    assert!(grown(3, "ready").await, "patched: {:?}", home.pids("auto"));
    let info = maestro.info("auto").await;
    assert_eq!(
        (&info["autoscaling"]["min"], &info["autoscaling"]["enabled"]),
        (&json!(3), &json!(true))
    );
    patched(&maestro, "auto", json!({"autoscaling": {"enabled": false}})).await;
    assert!(
        grown(1, "ready").await,
        "switched off: {:?}",
        home.pids("auto")
    );
    maestro.remove("auto").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_with_a_match_outlives_a_scale_down_until_the_match_ends() {
    let home = Home::new();
    let maestro = home.start();
    maestro
        .post("/schedulers", &home.mute_fleet("drain", 2))
        .await;
    let there = eventually(seconds(20), || async { home.pids("drain").len() == 2 });
    assert!(there.await);
    let rooms = home.pids("drain");
    let occupied = eventually(seconds(10), || async {
        for (room, _) in &rooms {
            let body = json!({"status": "occupied", "runningMatches": 1});
            maestro.ping("drain", room, &body).await;
        }
        maestro.info("drain").await["roomsOccupied"] == 2
    });
    assert!(occupied.await);
    patched(&maestro, "drain", json!({"roomsReplicas": 0})).await;
    // Both rooms drain, but none is removed during its match: the fleet settles without a removal.
    let idle = eventually(seconds(10), || async {
        let open = maestro.operations("drain", "active").await.len()
            + maestro.operations("drain", "pending").await.len();
        open == 0
    });
    assert!(idle.await);
    assert_eq!(home.pids("drain"), rooms);
    let first = &rooms[0].0;
    maestro
        .ping("drain", first, &json!({"status": "ready"}))
        .await;
    let gone = eventually(seconds(10), || async { home.pids("drain") == rooms[1..] });
    assert!(gone.await, "{:?}", home.pids("drain"));
    maestro.remove("drain").await;
}
