//! The modules of the contract (1.1) as processes of their own, on one Postgres and one Redis.

#[path = "support/grpc.rs"]
mod grpc;
mod support;

use maestro_grpc::testing::TestForwarder;
use maestro_testkit::servers::postgres::PostgresServer;
use maestro_testkit::servers::redis::RedisServer;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use support::stores::{Stores, migrate, store_variables};
use support::{BINARY, Home, Maestro, eventually, seconds};

/// Reported by the module `metrics-reporter` alone.
const REPORTED: &str = r#"maestro_worker_gru_ready{game="tests",scheduler="north"}"#;

async fn page(maestro: &Maestro) -> String {
    let url = format!("{}/metrics", maestro.internal);
    let (_, text) = maestro.call("GET", &url, None).await;
    text.as_str().unwrap_or_default().to_owned()
}

/// The owners that this process knows of, wherever they run.
async fn owners(maestro: &Maestro) -> Vec<String> {
    let url = format!("{}/debug/actors", maestro.internal);
    let (_, shown) = maestro.call("GET", &url, None).await;
    let actors = shown["actors"].as_array().cloned().unwrap_or_default();
    let owners = actors.iter().filter(|actor| actor["kind"] == "scheduler");
    owners
        .filter_map(|actor| actor["name"].as_str().map(str::to_owned))
        .collect()
}

/// Pings the rooms that there are, as ready ones, until this many are.
async fn become_ready(management: &Maestro, rooms_api: &Maestro, rooms: u64) -> bool {
    eventually(seconds(30), || async {
        let (_, there) = management.get("/schedulers/north/rooms").await;
        for room in there["rooms"].as_array().into_iter().flatten() {
            let id = room["id"].as_str().expect("an id");
            let ping = json!({"status": "ready", "timestamp": 1});
            rooms_api.ping("north", id, &ping).await;
        }
        management.ready_rooms("north").await == rooms
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_modules_are_one_maestro() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let home = Home::new();
    let start = |module| {
        stores.module(
            module,
            &home,
            &[("MAESTRO_REPORTER_METRICS_INTERVALMILLIS", "50")],
        )
    };
    let (management, rooms) = (start("management-api"), start("rooms-api"));
    let (watcher, reporter) = (start("runtime-watcher"), start("metrics-reporter"));

    // Nobody could own a scheduler yet (decision D37). Reads go on.
    let fleet = home.mute_fleet("north", 2);
    let (status, refused) = management.post("/schedulers", &fleet).await;
    assert_eq!((status, &refused["code"]), (503, &json!(14)), "{refused}");
    assert_eq!(
        management.get("/schedulers").await,
        (200, json!({"schedulers": []}))
    );

    let worker = start("worker");
    let created = || async { management.post("/schedulers", &fleet).await.0 == 200 };
    assert!(eventually(seconds(30), created).await);
    assert!(become_ready(&management, &rooms, 2).await);

    // Calls of rooms and matchmakers reach the owner through a module that has only the rooms API.
    let (status, allocated) = rooms.allocate("north").await;
    assert_eq!(
        (status, &allocated["success"]),
        (200, &json!(true)),
        "{allocated}"
    );
    let room = allocated["roomId"].as_str().expect("an id").to_owned();
    let ping = json!({"status": "occupied", "timestamp": 1});
    let (status, pinged) = rooms.ping("north", &room, &ping).await;
    assert_eq!(
        (status, &pinged["success"]),
        (200, &json!(true)),
        "{pinged}"
    );
    assert_eq!(management.ready_rooms("north").await, 1);

    for maestro in [&management, &rooms, &watcher, &reporter, &worker] {
        let knows = || async { owners(maestro).await == ["north"] };
        assert!(eventually(seconds(10), knows).await, "{}", maestro.internal);
    }
    let reports = || async { page(&reporter).await.contains(&format!("{REPORTED} 1\n")) };
    assert!(
        eventually(seconds(10), reports).await,
        "{}",
        page(&reporter).await
    );
    assert!(
        page(&reporter)
            .await
            .contains("maestro_worker_gru_occupied{game=\"tests\",scheduler=\"north\"} 1\n")
    );
    assert!(
        page(&reporter)
            .await
            .contains("maestro_worker_running_matches")
    );
    let of_worker = page(&worker).await;
    assert!(!of_worker.contains(REPORTED), "{of_worker}");
    assert!(of_worker.contains("maestro_worker_current_rooms"));

    // Several of each share the work, and none is missed.
    let elsewhere = Home::new();
    let second = stores.module("worker", &elsewhere, &[]);
    assert!(worker.stop().success());
    let resized = || async {
        let answer = management
            .patch("/schedulers/north", &json!({"roomsReplicas": 3}))
            .await;
        answer.0 == 200
    };
    assert!(eventually(seconds(30), resized).await);
    for maestro in [second, management, rooms, watcher, reporter] {
        assert!(maestro.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_for_forwarders_are_sent_by_the_owner() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (home, mm) = (Home::new(), TestForwarder::start());
    let start = |module| stores.module(module, &home, &[]);
    let (management, rooms) = (start("management-api"), start("rooms-api"));
    let worker = start("worker");
    let mut fleet = home.mute_fleet("north", 1);
    fleet["forwarders"] = json!([
        {"name": "mm", "enable": true, "type": "gRPC", "address": mm.address(),
         "options": {"timeout": 5000}},
    ]);
    let created = || async { management.post("/schedulers", &fleet).await.0 == 200 };
    assert!(eventually(seconds(30), created).await);
    assert!(become_ready(&management, &rooms, 1).await);
    let (_, there) = management.get("/schedulers/north/rooms").await;
    let room = there["rooms"][0]["id"].as_str().expect("an id").to_owned();
    let ping = json!({"status": "occupied", "timestamp": 1});
    rooms.ping("north", &room, &ping).await;
    let told = || async {
        mm.words(&room)
            .last()
            .is_some_and(|last| last == "resync:occupied")
    };
    assert!(eventually(seconds(30), told).await, "{:?}", mm.words(&room));
    let calls = async |process| {
        let page = page(process).await;
        let counts = page.lines().filter_map(|line| {
            let is_count = line.starts_with("maestro_worker_grpc_request_latency_count");
            let value = line.rsplit(' ').next().filter(|_| is_count);
            value.and_then(|value| value.parse::<u64>().ok())
        });
        counts.sum::<u64>()
    };
    assert!(calls(&worker).await >= 2, "ready and occupied");
    assert_eq!((calls(&rooms).await, calls(&management).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_serves_what_it_is_for() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let home = Home::new();
    let unset = Home::new();
    // The original has one port for both APIs.
    let mut environment = stores.environment();
    environment.push(("MAESTRO_API_PORT".into(), "0".into()));
    environment.push(("MAESTRO_INTERNALAPI_PORT".into(), "0".into()));
    let rooms = said_by(
        Command::new(BINARY)
            .args(["start", "rooms-api", "--data-dir"])
            .arg(unset.path())
            .envs(environment),
        "ready",
    );
    assert!(rooms["rooms"].is_string(), "{rooms}");
    assert!(
        rooms.get("management").is_none() && rooms.get("grpc").is_none(),
        "{rooms}"
    );
    // It hosts no rooms, and needs no folder for them.
    assert_eq!(
        std::fs::read_dir(unset.path()).expect("a folder").count(),
        0
    );

    let management = stores.module("management-api", &home, &[]);
    assert!(management.rooms.is_empty() && !management.grpc.is_empty());
    let worker = stores.module("worker", &home, &[("MAESTRO_GRPC_PORT", "")]);
    assert!(worker.management.is_empty() && worker.rooms.is_empty() && worker.grpc.is_empty());
    assert!(worker.stop().success());
    assert!(management.stop().success());
}

/// The first line with this message; then the process is killed.
fn said_by(command: &mut Command, message: &str) -> Value {
    use std::io::{BufRead, BufReader};
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let records = lines.map_while(Result::ok);
    let mut records = records.map(|line| serde_json::from_str::<Value>(&line).unwrap_or_default());
    let found = records.find(|record| record["message"] == message);
    child.kill().expect("it can be killed");
    child.wait().expect("it ended");
    found.expect("it says so")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_waits_for_its_stores() {
    let Some(mut postgres) = PostgresServer::start(&[]).await else {
        return;
    };
    let Some(mut redis) = RedisServer::start(&[]).await else {
        return;
    };
    let database = postgres.database();
    let environment = store_variables(database.url(), &redis.url());
    migrate(&environment);
    postgres.kill();
    redis.kill();
    let home = Home::new();
    let mut child = Command::new(BINARY)
        .args(["start", "management-api", "--data-dir"])
        .arg(home.path())
        .envs(environment)
        .envs(["API", "INTERNALAPI", "GRPC"].map(|what| (format!("MAESTRO_{what}_PORT"), "0")))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    use std::io::{BufRead, BufReader};
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut records = lines
        .map_while(Result::ok)
        .map(|line| serde_json::from_str::<Value>(&line).unwrap_or_default());
    let mut until = |message: &str| {
        let found = records.find(|record| {
            record["message"]
                .as_str()
                .is_some_and(|m| m.starts_with(message))
        });
        found.unwrap_or_else(|| panic!("it never says {message:?}"))
    };
    let alive = until("alive, but not ready");
    let url = |of: &str| alive[of].as_str().expect("a URL").to_owned();
    let (internal, management) = (url("internal"), url("management"));
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let status = async |path: &str| {
        let answer = http.get(format!("{internal}{path}")).send().await;
        answer.expect("an answer").status().as_u16()
    };
    assert_eq!(
        (status("/healthz").await, status("/readyz").await),
        (200, 503)
    );
    // Nobody waits for an answer that does not come.
    let refused = http.get(format!("{management}/schedulers")).send().await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(
        refused
            .text()
            .await
            .expect("a text")
            .contains("\"code\":14")
    );
    // The reason names the server and what to do.
    let waiting = until("waiting for the stores");
    let why = waiting["message"].as_str().expect("a text");
    assert!(
        why.contains("adapters.schedulerStorage.postgres.url"),
        "{why}"
    );
    postgres.again().await;
    redis.again().await;
    until("ready");
    assert!(eventually(seconds(20), || async { status("/readyz").await == 200 }).await);
    child.kill().expect("it can be killed");
    child.wait().expect("it ended");
}

/// The module `k8s-manager` serves the calls of that manager and nothing else, and passes them on to the owner.
#[tokio::test(flavor = "multi_thread")]
async fn the_k8s_manager_is_a_module() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let home = Home::new();
    let (worker, rooms) = (
        stores.module("worker", &home, &[]),
        stores.module("rooms-api", &home, &[]),
    );
    let management = stores.module("management-api", &home, &[]);
    let manager = stores.module("k8s-manager", &home, &[]);
    let fleet = home.mute_fleet("north", 2);
    let created = || async { management.post("/schedulers", &fleet).await.0 == 200 };
    assert!(eventually(seconds(30), created).await);
    assert!(become_ready(&management, &rooms, 2).await);

    assert_eq!(
        (manager.management.as_str(), manager.rooms.as_str()),
        ("", "")
    );
    let grpc = grpc::GrpcClient::connect(&manager.grpc).await;
    let served: Vec<&str> = grpc.services.iter().map(String::as_str).collect();
    let of_manager = [
        "grpc.health.v1.Health",
        "resourcemetrics.ResourceMetricsService",
        "runtime.RuntimeService",
        "version.VersionService",
    ];
    let mut others: Vec<_> = served
        .iter()
        .filter(|name| !of_manager.contains(name))
        .collect();
    others.retain(|name| !name.starts_with("grpc.reflection."));
    assert!(others.is_empty() && served.len() > 4, "{served:?}");
    let order = async |what: &str| {
        let version = json!({"version": {"namespace": "north", "name": "v1.0.0"}});
        let method = format!("version.VersionService/{what}");
        let answer = grpc
            .send(&method, version, &[("grpc-timeout", "30S")])
            .await;
        answer.expect("it is done").0["message"].to_string()
    };
    assert!(order("Start").await.contains("is started"));
    assert!(order("Publish").await.contains("is published"));
    // Runtimes are made where the owner runs, whose rooms are simulated here.
    let runtime = json!({"runtime": {"namespace": "north"}});
    let method = "runtime.RuntimeService/Create";
    let told = grpc.call(method, runtime).await.expect_err("simulated");
    assert!(told.message().contains("runtime.type"), "{told:?}");
    let metrics = json!({"namespace": "north", "versionName": "v1.0.0"});
    let method = "resourcemetrics.ResourceMetricsService/GetVersion";
    // The owner answers, whose rooms are simulated here.
    let told = grpc.call(method, metrics).await.expect_err("simulated");
    assert!(told.message().contains("simulated rooms"), "{told:?}");
    for maestro in [manager, management, rooms, worker] {
        assert!(maestro.stop().success());
    }
}
