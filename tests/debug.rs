//! What an operator sees at 3 a.m.: every actor, health and metrics; and what can be done about an
//! actor.

mod support;

use serde_json::{Value, json};
use support::{Home, Maestro, eventually, seconds};

async fn actor(maestro: &Maestro, name: &str) -> Value {
    let (status, body) = maestro.internal("GET", "/debug/actors", None).await;
    assert_eq!(status, 200, "{body}");
    let actors = body["actors"].as_array().expect("a list").clone();
    let found = actors.into_iter().find(|actor| actor["name"] == name);
    found.unwrap_or(Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_actor_shows_what_it_is_doing() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("seen", 2)).await;
    let (_, body) = maestro.internal("GET", "/debug/actors", None).await;
    let kinds: Vec<_> = body["actors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|actor| actor["kind"].as_str().unwrap().to_owned())
        .collect();
    for kind in ["supervisor", "catalog", "scheduler"] {
        assert!(kinds.iter().any(|k| k == kind), "{kinds:?}");
    }
    // The supervisor is probed like the others, and answers.
    let alive = eventually(seconds(10), || async {
        let supervisor = actor(&maestro, "supervisor").await;
        supervisor["handled"]["probe"].as_u64() > Some(1)
    });
    assert!(alive.await, "{}", actor(&maestro, "supervisor").await);
    let seen = actor(&maestro, "seen").await;
    assert_eq!(seen["state"], "running", "{seen}");
    for key in ["mailbox_depth", "oldest_message_us", "restarts"] {
        assert!(!seen[key].is_null(), "{key}: {seen}");
    }
    assert!(seen["scheduler"]["epoch"].as_u64() > Some(0), "{seen}");
    assert!(
        seen["scheduler"]["lease_left_ms"].as_u64() > Some(0),
        "{seen}"
    );
    // The running operation, with its current step.
    let id = maestro.test_operation("seen", 600).await;
    let shown = eventually(seconds(10), || async {
        actor(&maestro, "seen").await.to_string().contains(&id)
    });
    assert!(shown.await, "{}", actor(&maestro, "seen").await);
    let (_, one) = maestro
        .internal("GET", "/debug/actors?scheduler=seen", None)
        .await;
    let schedulers = one["actors"].as_array().unwrap().iter();
    let schedulers = schedulers.filter(|actor| actor["kind"] == "scheduler");
    assert_eq!(schedulers.count(), 1);
    maestro.remove("seen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_management_api_shows_actors_where_it_may_and_changes_none() {
    let home = Home::new();
    let maestro = home.start();
    let (status, body) = maestro.get("/debug/actors").await;
    assert_eq!(status, 200, "{body}");
    assert!(body["actors"].is_array());
    maestro.bring_up(&home.fleet("held", 1)).await;
    for verb in ["reload", "pause", "resume", "test-operation"] {
        let path = format!("/debug/actors/held/{verb}");
        let (status, _) = maestro.post(&path, &json!({"sleepSeconds": 1})).await;
        assert!(matches!(status, 404 | 501), "{verb}: {status}");
    }
    maestro.remove("held").await;

    let other = Home::new();
    let hidden = other.start_with(&[("MAESTRO_API_DEBUG_ENABLED", "false")]);
    assert_eq!(hidden.get("/debug/actors").await.0, 404);
    assert_eq!(hidden.internal("GET", "/debug/actors", None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reloaded_scheduler_keeps_its_rooms_and_its_operations() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("anew", 3)).await;
    let rooms = home.pids("anew");
    let operations = maestro.operations("anew", "final").await;
    for _ in 0..3 {
        let (status, body) = maestro
            .internal("POST", "/debug/actors/anew/reload", None)
            .await;
        assert_eq!((status, body), (200, json!({})));
        maestro.wait_ready("anew", 3).await;
    }
    assert_eq!(home.pids("anew"), rooms);
    assert_eq!(maestro.operations("anew", "final").await, operations);
    let (status, body) = maestro
        .internal("POST", "/debug/actors/nobody/reload", None)
        .await;
    assert_eq!((status, &body["code"]), (404, &json!(5)), "{body}");
    maestro.remove("anew").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_scheduler_stands_still_until_it_is_resumed() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("pause", 2)).await;
    let before = home.pids("pause");
    let verb = |verb: &'static str| {
        let maestro = &maestro;
        async move {
            let path = format!("/debug/actors/pause/{verb}");
            assert_eq!(maestro.internal("POST", &path, None).await.0, 200);
        }
    };
    verb("pause").await;
    let answer = maestro
        .patch("/schedulers/pause", &json!({"roomsReplicas": 4}))
        .await;
    let patch = Maestro::id(&answer);
    let pending = eventually(seconds(5), || async {
        let pending = maestro.operations("pause", "pending").await;
        pending.iter().any(|o| o["id"] == patch.as_str())
    });
    assert!(pending.await, "an edit is taken, and waits");
    // Pings and allocation go on meanwhile.
    assert_eq!(maestro.allocate("pause").await.0, 200);
    assert_eq!(home.pids("pause"), before);
    verb("resume").await;
    assert_eq!(maestro.ended("pause", &patch).await["status"], "finished");
    let grown = eventually(seconds(20), || async { home.pids("pause").len() == 4 });
    assert!(grown.await, "{:?}", home.pids("pause"));
    maestro.remove("pause").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_at_run_time_outlives_a_reload_and_a_kill() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("held", 1)).await;
    let view = async |maestro: &Maestro| {
        let path = "/debug/actors?scheduler=held";
        maestro.internal("GET", path, None).await.1["actors"][0].clone()
    };
    let is_paused = async |maestro: &Maestro, paused: bool| {
        view(maestro).await["scheduler"]["paused"] == paused
    };
    let path = |verb: &str| format!("/debug/actors/held/{verb}");
    assert_eq!(maestro.internal("POST", &path("pause"), None).await.0, 200);
    assert!(eventually(seconds(5), || is_paused(&maestro, true)).await);
    assert_eq!(maestro.internal("POST", &path("reload"), None).await.0, 200);
    assert!(eventually(seconds(10), || is_paused(&maestro, true)).await);
    maestro.kill();
    let (gone, pid) = home.pids("held")[0].clone();
    support::signal(pid, rustix::process::Signal::KILL);
    let maestro = home.start();
    assert!(eventually(seconds(10), || is_paused(&maestro, true)).await);
    let ids = async || {
        let (_, body) = maestro.get("/schedulers/held/rooms").await;
        let rooms = body["rooms"].as_array().cloned().unwrap_or_default();
        rooms
            .iter()
            .map(|room| room["id"].clone())
            .collect::<Vec<_>>()
    };
    // While the scheduler is paused, no room counts as gone; after the resume, gone rooms are
    // replaced.
    assert_eq!(ids().await, [json!(gone)]);
    assert_eq!(maestro.internal("POST", &path("resume"), None).await.0, 200);
    assert!(eventually(seconds(5), || is_paused(&maestro, false)).await);
    let replaced = async || {
        let ids = ids().await;
        ids.len() == 1 && ids[0] != json!(gone)
    };
    assert!(eventually(seconds(30), replaced).await, "{gone} is kept");
    // A resume is not stored if it equals the settings.
    maestro.stop();
    let maestro = home.start_with(&[("MAESTRO_WORKERS_PAUSED", "true")]);
    assert!(eventually(seconds(10), || is_paused(&maestro, true)).await);
    assert_eq!(maestro.internal("POST", &path("resume"), None).await.0, 200);
    maestro.stop();
    let maestro = home.start_with(&[("MAESTRO_WORKERS_PAUSED", "true")]);
    assert!(eventually(seconds(10), || is_paused(&maestro, false)).await);
    maestro.remove("held").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_orchestrator_takes_orders_and_makes_nothing() {
    let home = Home::new();
    let maestro = home.start_with(&[("MAESTRO_WORKERS_PAUSED", "true")]);
    let (status, body) = maestro.post("/schedulers", &home.fleet("still", 2)).await;
    assert_eq!(status, 200, "{body}");
    let (_, body) = maestro.get("/schedulers/still").await;
    assert_eq!(body["scheduler"]["state"], "creating");
    let pending = maestro.operations("still", "pending").await;
    assert_eq!(
        pending[0]["definitionName"], "create_scheduler",
        "{pending:?}"
    );
    assert_eq!(maestro.internal("GET", "/readyz", None).await.0, 200);
    assert!(maestro.stop().success());
    assert!(home.processes().is_empty());
    // Without the setting, the same data folder gets its rooms.
    let maestro = home.start();
    maestro.wait_ready("still", 2).await;
    maestro.remove("still").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_internal_server_can_be_switched_off() {
    let off = [
        ("MAESTRO_INTERNALAPI_HEALTHCHECK_ENABLED", "false"),
        ("MAESTRO_INTERNALAPI_METRICS_ENABLED", "false"),
    ];
    let home = Home::new();
    let maestro = home.start_only(&off);
    for path in ["/health", "/healthz", "/readyz", "/metrics", "/nowhere"] {
        let (status, body) = maestro.internal("GET", path, None).await;
        assert_eq!(
            (status, body),
            (404, "404 page not found\n".into()),
            "{path}"
        );
    }
    assert_eq!(maestro.internal("GET", "/debug/actors", None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_served() {
    let home = Home::new();
    let maestro = home.start();
    for path in ["/health", "/healthz", "/readyz"] {
        assert_eq!(maestro.internal("GET", path, None).await.0, 200, "{path}");
    }
    maestro.bring_up(&home.fleet("counted", 1)).await;
    let counted = eventually(seconds(10), || async {
        let (_, page) = maestro.internal("GET", "/metrics", None).await;
        let page = page.as_str().unwrap_or_default().to_owned();
        page.lines().any(|line| {
            line.starts_with("http_") && line.contains("/schedulers") && line.contains("200")
        })
    });
    assert!(
        counted.await,
        "{}",
        maestro.internal("GET", "/metrics", None).await.1
    );
    assert_eq!(maestro.internal("GET", "/nowhere", None).await.0, 404);
    assert_eq!(maestro.get("/healthz").await.0, 404);
    maestro.remove("counted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_on_the_internal_server_are_named_and_logged() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("told", 0)).await;
    let path = "/debug/actors/told/test-operation";
    let order = maestro
        .http
        .post(format!("{}{path}", maestro.internal))
        .header("x-request-id", "night-shift-7")
        .body(r#"{"sleepSeconds": 0}"#);
    let answer = order.send().await.expect("an answer");
    let echoed = answer.headers().get("x-request-id").cloned();
    assert_eq!(echoed.expect("its name"), "night-shift-7");
    let body: serde_json::Value = answer.json().await.expect("JSON");
    let id = body["operationId"].as_str().expect("an id");
    let operation = maestro.ended("told", id).await;
    assert!(
        support::history(&operation).contains("night-shift-7"),
        "{operation}"
    );
    maestro
        .internal("POST", "/debug/actors/nobody/pause", None)
        .await;
    for (path, name) in [
        (path, "night-shift-7"),
        ("/debug/actors/nobody/pause", "\"status\":404"),
    ] {
        let told = eventually(seconds(10), || async {
            let log = maestro.logged();
            log.lines()
                .any(|line| line.contains(path) && line.contains(name))
        });
        assert!(told.await, "no {path} in\n{}", maestro.logged());
    }
    maestro.remove("told").await;
}
