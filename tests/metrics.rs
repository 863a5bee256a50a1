//! Compares `/metrics` of the built binary with `docs/metrics.md` in both directions (names, types, labels), with the
//! page of an earlier version (also buckets), and checks meaningful values. `promtool` checks the page and the alerts.

#[path = "support/grpc.rs"]
mod grpc;
#[path = "metrics/page.rs"]
mod page;
mod support;

use grpc::GrpcClient;
use maestro_grpc::testing::TestForwarder;
use page::{Metric, Seen, until};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use support::{Home, Maestro, eventually, seconds, skip};

/// The families of the page before all metrics were in one registry: name, type, labels and buckets of each. Dashboards
/// and alerts depend on them, so they must not change.
const BEFORE: &str = include_str!("metrics/before.tsv");

/// Families that `drive` does not cause, with the reason.
const UNSEEN: [(&str, &str); 6] = [
    (
        "maestro_worker_operation_evicted_total",
        "needs an operation that another program wrote to the store",
    ),
    (
        "maestro_forwarding_dropped_events_total",
        "needs more than a thousand rooms with waiting events",
    ),
    (
        "maestro_kubernetes_calls_total",
        "needs Kubernetes: tests/kubernetes/life.rs",
    ),
    (
        "maestro_kubernetes_calls_waiting",
        "needs Kubernetes: tests/kubernetes/life.rs",
    ),
    (
        "maestro_node_grpc_server_handled_total",
        "needs a listener for other nodes: tests/nodes.rs",
    ),
    (
        "maestro_node_grpc_server_handling_seconds",
        "needs a listener for other nodes: tests/nodes.rs",
    ),
];

fn manual() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    std::fs::read_to_string(path).expect("the page")
}

/// The rows of all tables of the manual.
fn documented() -> BTreeMap<String, Metric> {
    let manual = manual();
    let rows = manual.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells.first()?.strip_prefix('`')?.strip_suffix('`')?;
        let [_, kind, labels, _, when] = cells[..] else {
            return None;
        };
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let metric = Metric {
            kind: kind.to_owned(),
            labels: labels.map(str::to_owned).collect(),
            buckets: Vec::new(),
            conditional: when.starts_with("only with"),
        };
        Some((name.to_owned(), metric))
    });
    rows.collect()
}

const FLEET: &[(&str, &str)] = &[("scheduler", "measured"), ("game", "tests")];

fn of<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("scheduler", "measured")], more].concat()
}

const EVENTS: &str = "maestro_watcher_number_of_events_processed_total";
const LATENCY: &str = "maestro_worker_operation_execution_latency_count";

/// Creates, pings, allocates, crashes, adds, removes, rolls back, sends events, and deletes. Requests an unknown path,
/// and a known one as a page of another site would.
async fn drive(home: &Home, maestro: &Maestro, seen: &mut Seen) {
    bring_up(home, maestro, seen).await;
    ping_and_allocate(maestro, seen).await;
    lose_and_resize(home, maestro, seen).await;
    roll_back(maestro, seen).await;
    let (status, _) = maestro.get("/no/such/path").await;
    assert_eq!(status, 404);
    seen.scrape(maestro).await;
    let raw = [("handler", "/no/such/path"), ("code", "404")];
    assert_eq!(
        seen.value("http_request_duration_seconds_count", &raw),
        Some(1.0)
    );
    over_grpc(maestro, seen).await;
    send_events(home, maestro, seen).await;
    from_a_page(maestro, seen).await;
    beside_the_gateway(maestro, seen).await;
    remove(maestro, seen).await;
}

async fn bring_up(home: &Home, maestro: &Maestro, seen: &mut Seen) {
    seen.scrape(maestro).await;
    let store = [
        ("storage", "scheduler-storage"),
        ("operation", "CreateScheduler"),
    ];
    let fails = "maestro_worker_postgres_fails_total";
    assert_eq!(seen.value(fails, &store), Some(0.0), "from the start");
    let mut fleet = home.fleet("measured", 2);
    fleet["autoscaling"] = json!({
        "enabled": false, "min": 1, "max": 5, "cooldown": 0,
        "policy": {"type": "roomOccupancy", "parameters": {"roomOccupancy": {"readyTarget": 0.3}}},
    });
    maestro.bring_up(&fleet).await;
    assert_eq!(maestro.post("/schedulers", &fleet).await.0, 409);
    let version = maestro.get("/schedulers/measured?version=v1.0.0").await;
    assert_eq!(version.0, 200);
    until(maestro, seen, ("maestro_worker_gru_ready", FLEET), 2.0).await;
    assert_eq!(seen.value(fails, &store), Some(1.0), "a name that is taken");
    let calls = "maestro_worker_postgres_operation_latency_count";
    for (operation, count) in [("GetSchedulerWithFilter", 1.0), ("GetSchedulers", 0.0)] {
        let of = [("storage", "scheduler-storage"), ("operation", operation)];
        assert_eq!(seen.value(calls, &of), Some(count), "{operation}");
    }
    assert_eq!(seen.value("maestro_worker_desired_rooms", FLEET), Some(2.0));
    for (what, count) in [
        ("nodes", 1.0),
        ("owned_schedulers", 1.0),
        ("outbox_batches", 0.0),
    ] {
        let name = format!("maestro_cluster_{what}");
        assert_eq!(seen.value(&name, &[]), Some(count), "{name}");
    }
    let taken = [("cause", "created")];
    assert_eq!(
        seen.value("maestro_cluster_takeovers_total", &taken),
        Some(1.0)
    );
    assert_eq!(seen.value("maestro_worker_current_rooms", FLEET), Some(2.0));
    assert_eq!(
        seen.value("maestro_worker_instance_ready", FLEET),
        Some(2.0)
    );
    assert_eq!(seen.value("maestro_worker_ready_target", FLEET), Some(0.3));
    assert_eq!(seen.value("maestro_worker_fixed_buffer", FLEET), None);
    let workers = seen.all("maestro_current_workers", &of(&[]));
    assert_eq!(workers, [1.0; 3]);
    let added = of(&[("instanceEventType", "added"), ("success", "true")]);
    assert_eq!(seen.value(EVENTS, &added), Some(2.0));
    let created = of(&[("operation", "create_scheduler"), ("success", "true")]);
    assert_eq!(seen.value(LATENCY, &created), Some(1.0));
}

async fn ping_and_allocate(maestro: &Maestro, seen: &mut Seen) {
    assert_eq!(maestro.allocate("measured").await.0, 200);
    until(maestro, seen, ("maestro_worker_gru_allocated", FLEET), 1.0).await;
    let ping = json!({"status": "ready"});
    for (scheduler, room) in [("measured", "nobody"), ("nowhere", "nobody")] {
        let (_, answer) = maestro.ping(scheduler, room, &ping).await;
        assert_eq!(answer["success"], false);
    }
    let pings = "maestro_api_ping_handler_update_room_failures_total";
    until(maestro, seen, (pings, &of(&[])), 1.0).await;
    assert_eq!(seen.value(pings, &[("scheduler", "unknown")]), Some(1.0));
    assert_eq!(seen.all(pings, &[("scheduler", "nowhere")]), [0.0; 0]);
}

/// A room crashes, one is added, and one removed.
async fn lose_and_resize(home: &Home, maestro: &Maestro, seen: &mut Seen) {
    let deleted = of(&[("instanceEventType", "deleted"), ("success", "true")]);
    let (_, pid) = home.pids("measured")[0].clone();
    support::signal(pid, rustix::process::Signal::KILL);
    until(maestro, seen, (EVENTS, &deleted), 1.0).await;
    for order in ["add-rooms", "remove-rooms"] {
        let path = format!("/schedulers/measured/{order}");
        let answer = maestro.post(&path, &json!({"amount": 1})).await;
        let operation = maestro.done("measured", answer).await;
        assert_eq!(operation["status"], "finished", "{operation}");
    }
}

/// A scheduler's series disappear with it.
async fn remove(maestro: &Maestro, seen: &mut Seen) {
    maestro.remove("measured").await;
    let delete = of(&[("operation", "delete_scheduler"), ("success", "true")]);
    until(maestro, seen, (LATENCY, &delete), 1.0).await;
    for gauge in [
        "maestro_worker_gru_ready",
        "maestro_current_workers",
        "maestro_actor_mailbox_depth",
    ] {
        assert_eq!(seen.all(gauge, &of(&[])), [0.0; 0], "{gauge} is stale");
    }
}

/// Creates a version whose validation room crashes.
async fn roll_back(maestro: &Maestro, seen: &mut Seen) {
    let patch = json!({"spec": {"containers": [{"command": ["sh", "-c", "exit 3"]}]}});
    let answer = maestro.patch("/schedulers/measured", &patch).await;
    let operation = maestro.done("measured", answer).await;
    assert_eq!(operation["status"], "error", "{operation}");
    let edit = ("operation", "create_new_scheduler_version");
    let rolled_back = "maestro_worker_operation_rollback_latency_count";
    until(
        maestro,
        seen,
        (rolled_back, &of(&[edit, ("success", "true")])),
        1.0,
    )
    .await;
    let executed = "maestro_worker_operation_execution_latency_count";
    let failed = of(&[edit, ("success", "false")]);
    assert_eq!(seen.value(executed, &failed), Some(1.0));
}

/// Makes calls over gRPC. The client's use of reflection is not counted.
async fn over_grpc(maestro: &Maestro, seen: &mut Seen) {
    let handled = "grpc_server_handled_total";
    let service = ("grpc_service", "api.v1.SchedulersService");
    let of = |code| {
        [
            service,
            ("grpc_method", "GetScheduler"),
            ("grpc_code", code),
        ]
    };
    seen.scrape(maestro).await;
    assert_eq!(seen.value(handled, &of("OK")), Some(0.0), "from the start");
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    for (name, found) in [("measured", true), ("measured", true), ("nowhere", false)] {
        let name = json!({"schedulerName": name});
        let answer = grpc.call("SchedulersService/GetScheduler", name).await;
        assert_eq!(answer.is_ok(), found);
    }
    seen.scrape(maestro).await;
    assert_eq!(seen.value(handled, &of("OK")), Some(2.0));
    assert_eq!(seen.value(handled, &of("NotFound")), Some(1.0));
    let unknown = [("grpc_service", "unknown")];
    assert_eq!(seen.value(handled, &unknown), Some(0.0));
    let within = [service, ("grpc_method", "GetScheduler"), ("le", "10")];
    let buckets = "grpc_server_handling_seconds_bucket";
    assert_eq!(seen.value(buckets, &within), Some(3.0));
}

/// Sends a room's events to two forwarders, of which one is not reachable.
async fn send_events(home: &Home, maestro: &Maestro, seen: &mut Seen) {
    let matchmaker = TestForwarder::start();
    let mut fleet = home.mute_fleet("told", 1);
    fleet["autoscaling"] = json!({
        "enabled": false, "min": 1, "max": 5, "cooldown": 0,
        "policy": {"type": "fixedBuffer", "parameters": {"fixedBuffer": {"amount": 1}}},
    });
    fleet["forwarders"] = json!([
        {"name": "here", "enable": true, "type": "gRPC", "address": matchmaker.address()},
        {"name": "away", "enable": true, "type": "gRPC", "address": "127.0.0.1:1"},
    ]);
    assert_eq!(maestro.post("/schedulers", &fleet).await.0, 200);
    let runs = || async { !home.pids("told").is_empty() };
    assert!(eventually(seconds(30), runs).await, "no room");
    let room = home.pids("told")[0].0.clone();
    let at = format!("{}/scheduler/told/rooms/{room}", maestro.rooms);
    let address = format!("{at}/address");
    let placed = || async { maestro.call("GET", &address, None).await.0 == 200 };
    assert!(eventually(seconds(30), placed).await, "no address");
    let ready = json!({"status": "ready"});
    assert_eq!(maestro.ping("told", &room, &ready).await.1["success"], true);
    let resync_lost = "maestro_api_failed_ping_forwarding_total";
    let scheduler = ("scheduler", "told");
    until(maestro, seen, (resync_lost, &[scheduler]), 1.0).await;
    for (path, event) in [("roomevent", "goal"), ("playerevent", "playerJoin")] {
        let body = json!({"event": event, "metadata": {"playerId": "p1"}});
        let url = format!("{at}/{path}");
        assert_eq!(maestro.call("POST", &url, Some(&body)).await.0, 200);
    }
    let told = [("game", "tests"), scheduler];
    for (what, count) in [("room", 2.0), ("player", 1.0)] {
        for (outcome, code) in [("success", "OK"), ("failed", "Unavailable")] {
            let name = format!("maestro_api_{outcome}_{what}_event_forwarding_total");
            let labels = [&told[..], &[("code", code)]].concat();
            until(maestro, seen, (&name, &labels), count).await;
        }
    }
    let buffer = "maestro_worker_fixed_buffer";
    assert_eq!(seen.value(buffer, &told), Some(1.0));
    maestro.remove("told").await;
}

/// Sends a request as a page of another site would.
async fn from_a_page(maestro: &Maestro, seen: &mut Seen) {
    let url = format!("{}/schedulers", maestro.management);
    let request = maestro
        .http
        .get(url)
        .header("origin", "http://evil.example");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 403);
    seen.scrape(maestro).await;
    let refused = [("server", "management-api"), ("reason", "foreign-origin")];
    let count = seen.value("maestro_http_refused_total", &refused);
    assert_eq!(count, Some(1.0));
}

/// Calls endpoints that the gateway does not know. Those of the internal server do not belong to
/// the APIs.
async fn beside_the_gateway(maestro: &Maestro, seen: &mut Seen) {
    let rooms = "/schedulers/{scheduler}/rooms";
    assert_eq!(maestro.get("/schedulers/measured/rooms").await.0, 200);
    assert_eq!(maestro.delete("/schedulers/measured/rooms").await.0, 501);
    assert_eq!(maestro.get("/debug/actors").await.0, 200);
    assert_eq!(maestro.internal("GET", "/debug/actors", None).await.0, 200);
    seen.scrape(maestro).await;
    for (handler, method, code) in [
        (rooms, "GET", "200"),
        (rooms, "DELETE", "501"),
        ("/debug/actors", "GET", "200"),
    ] {
        let api = [("service", "management-api"), ("handler", handler)];
        let labels = [&api[..], &[("method", method), ("code", code)]].concat();
        let requests = seen.value("http_request_duration_seconds_count", &labels);
        assert_eq!(requests, Some(1.0), "{labels:?}");
        let bytes = seen.value("http_response_size_bytes_sum", &labels);
        assert!(bytes.is_some_and(|bytes| bytes > 0.0), "{labels:?}");
        assert_eq!(seen.value("http_requests_inflight", &api), Some(0.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let home = Home::new();
    let maestro = home.start();
    let mut seen = Seen::default();
    drive(&home, &maestro, &mut seen).await;
    let documented = documented();
    assert!(documented.len() > 50, "{} rows", documented.len());
    for (name, metric) in &seen.metrics {
        let row = documented.get(name);
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        assert_eq!(row.kind, metric.kind, "type of {name}");
        assert_eq!(row.labels, metric.labels, "labels of {name}");
    }
    for (name, row) in &documented {
        let unseen = UNSEEN.iter().any(|(unseen, _)| unseen == name);
        assert!(!unseen || row.conditional, "{name} is always there");
        let there = seen.metrics.contains_key(name);
        assert_ne!(there, unseen, "was {name} seen?");
    }
    for line in BEFORE.lines() {
        let (name, _) = line.split_once('\t').expect("a family");
        let now = seen.metrics.get(name);
        let now = now.map_or_else(String::new, |metric| metric.line(name));
        assert_eq!(now, line, "{name} is not what it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_unmatched_paths_have_labels_of_their_own_and_no_more() {
    let home = Home::new();
    let maestro = home.start();
    for i in 0..210 {
        assert_eq!(maestro.get(&format!("/scan/{i}")).await.0, 404);
    }
    let mut seen = Seen::default();
    seen.scrape(&maestro).await;
    let count = "http_request_duration_seconds_count";
    let raw = seen.page.lines().filter(|line| line.starts_with(count));
    let raw = raw.filter(|line| line.contains("handler=\"/scan/"));
    assert_eq!(raw.count(), 50);
    assert_eq!(seen.value(count, &[("handler", "other")]), Some(160.0));
}

/// Names of the original that `promtool` complains about: they cannot be changed.
const UNLIKED: [&str; 1] = [
    "maestro_watcher_number_of_events_processed_total label names should be written in 'snake_case' not 'camelCase'",
];

fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut tool = Command::new("promtool");
    let tool = tool.args(arguments).stdin(Stdio::piped());
    let started = tool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut tool) = started else {
        skip("promtool is not installed: cargo xtask setup");
        return None;
    };
    let mut to = tool.stdin.take().expect("piped");
    to.write_all(input.as_bytes()).expect("it reads");
    drop(to);
    let output = tool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_page() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("read", 1)).await;
    let mut seen = Seen::default();
    seen.scrape(&maestro).await;
    maestro.remove("read").await;
    let Some((_, said)) = promtool(&["check", "metrics"], &seen.page) else {
        return;
    };
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| !UNLIKED.contains(line))
        .collect();
    assert_eq!(complaints, Vec::<&str>::new());
}

#[test]
fn the_alerts_are_rules_about_metrics_of_the_manual() {
    let manual = manual();
    let (_, rest) = manual.split_once("```yaml\n").expect("the alerts");
    let (rules, _) = rest.split_once("```").expect("an end");
    let known = documented();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("maestro_"));
    let mut named = 0;
    for name in names {
        let base = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        let is_known = known.contains_key(name) || base.is_some_and(|b| known.contains_key(b));
        assert!(is_known, "{name} is not in docs/metrics.md");
        named += 1;
    }
    assert!(named >= 9, "{named} names");
    let file = std::env::temp_dir().join(format!("maestro-rules-{}.yml", std::process::id()));
    std::fs::write(&file, rules).expect("a file");
    let checked = promtool(&["check", "rules", file.to_str().expect("text")], "");
    std::fs::remove_file(&file).expect("it was there");
    if let Some((fine, said)) = checked {
        assert!(fine, "{said}");
    }
}
