//! What rooms use, on the built binary with rooms that are processes: over gRPC with a client that knows only what
//! reflection reports, over HTTP, and as server-sent events.

#[path = "support/grpc.rs"]
mod grpc;
mod support;

use std::process::Command;
use std::time::Instant;

use futures_util::StreamExt;
use grpc::GrpcClient;
use maestro_api::codec::messages::resourcemetrics::VersionRequest;
use maestro_api::{RequestContext, ResourceMetricsApi, Tick};
use serde_json::{Value, json};
use support::{Home, Maestro, eventually, memory_kib, seconds};

const SERVICE: &str = "resourcemetrics.ResourceMetricsService";
const METRICS: &str = "/schedulers/arena/versions/v1.0.0/metrics";

/// Two rooms that compute all the time.
async fn busy(home: &Home) -> Maestro {
    let maestro = home.start();
    let busy = ["sh", "-c", "while :; do :; done"];
    let (status, answer) = maestro
        .post("/schedulers", &home.fleet_of("arena", 2, &busy))
        .await;
    assert_eq!(status, 200, "{answer}");
    maestro
}

/// The last sample that is known of the version.
async fn last(maestro: &Maestro) -> Option<(f64, f64)> {
    let (status, answer) = maestro.get(METRICS).await;
    let samples = answer["versionResourceMetrics"].as_array()?;
    let last = (status == 200).then(|| samples.last())??;
    Some((last["cpu"].as_f64()?, last["mem"].as_f64()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_are_processes_are_measured() {
    let home = Home::new();
    let maestro = busy(&home).await;
    let measured = eventually(seconds(60), async || {
        // Two rooms cannot use more than this machine has, and a shell has some memory.
        last(&maestro).await.is_some_and(|(cpu, mem)| {
            cpu > 0.1 && cpu < 2.5 && mem > 500_000.0 && mem < 100_000_000.0
        })
    });
    assert!(measured.await, "{:?}", last(&maestro).await);

    let client = GrpcClient::connect(&maestro.grpc).await;
    assert!(client.services.iter().any(|name| name == SERVICE));
    let request = json!({"namespace": "arena", "versionName": "v1.0.0", "step": 5});
    let answer = client.call(&format!("{SERVICE}/GetVersion"), request).await;
    let answer = answer.expect("an answer");
    let samples = answer["versionResourceMetrics"]
        .as_array()
        .expect("samples");
    assert!(
        samples
            .iter()
            .any(|sample| sample["cpu"].as_f64() > Some(0.1)),
        "{answer}"
    );
    first_sample_comes_at_once(&maestro).await;
    mistakes_have_their_statuses(&maestro).await;
}

async fn first_sample_comes_at_once(maestro: &Maestro) {
    let client = maestro_grpc::GrpcClient::new(&maestro.grpc).expect("a URL");
    let request = VersionRequest {
        namespace: "arena".into(),
        versionName: "v1.0.0".into(),
        ..VersionRequest::default()
    };
    let begun = Instant::now();
    let context = RequestContext::internal();
    let watch = client.watch_version(&context, request).await;
    let mut watch = watch.expect("a stream");
    let mut dates = Vec::new();
    while dates.len() < 3 {
        match watch.next().await {
            Some(Ok(Tick::Samples(samples))) => {
                if dates.is_empty() {
                    assert!(begun.elapsed() < seconds(2), "{:?}", begun.elapsed());
                }
                dates.extend(samples.versionResourceMetrics.into_iter().map(|it| it.date));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(dates.is_sorted(), "{dates:?}");
    assert!(dates.windows(2).all(|pair| pair[0] != pair[1]), "{dates:?}");
}

async fn mistakes_have_their_statuses(maestro: &Maestro) {
    for (path, status, code) in [
        ("/schedulers/arena/versions/v9.9.9/metrics", 404, 5),
        ("/schedulers/nobody/versions/v1.0.0/metrics/watch", 404, 5),
        ("/schedulers/arena/versions/v1%22/metrics", 400, 3),
        (
            "/schedulers/arena/versions/v1.0.0/metrics?fromDate=now",
            400,
            3,
        ),
        ("/schedulers/arena/versions/v1.0.0/metrics?step=-1", 400, 3),
        ("/schedulers/arena/versions/v1.0.0/metrics?until=1", 400, 3),
        // Alerts are those of Prometheus, which is asked about pods only.
        ("/schedulers/arena/versions/v1.0.0/alerts", 409, 9),
    ] {
        let (found, answer) = maestro.get(path).await;
        assert_eq!(
            (found, &answer["code"]),
            (status, &json!(code)),
            "{path}: {answer}"
        );
    }
}

/// The events of a stream until it has so many, each with its fields.
async fn events(maestro: &Maestro, last: Option<&str>, count: usize) -> Vec<(String, Value)> {
    let url = format!("{}{METRICS}/watch", maestro.management);
    let mut request = maestro.http.get(url);
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    let mut answer = request.send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let chunk = answer.chunk().await.expect("a chunk").expect("more");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let whole = text.split("\n\n").take(count);
    whole
        .map(|event| {
            let mut lines = event.lines();
            assert_eq!(lines.next(), Some("event: metrics"), "{event}");
            let id = lines.next().and_then(|line| line.strip_prefix("id: "));
            let data = lines.next().and_then(|line| line.strip_prefix("data: "));
            let data = serde_json::from_str(data.expect("data")).expect("JSON");
            (id.expect("an id").to_owned(), data)
        })
        .collect()
}

fn dates(events: &[(String, Value)]) -> Vec<String> {
    let samples = |data: &Value| data["versionResourceMetrics"].as_array().cloned();
    let all = events
        .iter()
        .flat_map(|(_, data)| samples(data).expect("samples"));
    all.map(|sample| sample["date"].as_str().expect("a date").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_continue_without_a_gap_or_a_repetition() {
    let home = Home::new();
    let maestro = busy(&home).await;
    let known = eventually(seconds(60), async || last(&maestro).await.is_some());
    assert!(known.await);
    let first = events(&maestro, None, 2).await;
    let seen = dates(&first);
    assert_eq!(seen.last(), Some(&first[1].0), "the id is the last date");
    let rest = events(&maestro, Some(&first[1].0), 2).await;
    let all = [seen.clone(), dates(&rest)].concat();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    let at = |date: &String| date.parse::<jiff::Timestamp>().expect("a time");
    // Both are on the grid of the step, so the next one is one step later.
    let step = at(&dates(&rest)[0]).duration_since(at(&first[1].0));
    assert_eq!(step.as_secs(), 5, "{all:?}");
}

/// The script of the K8s manager's manual, where `grpcurl` is there to run it.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_shows_samples() {
    if Command::new("grpcurl").arg("--version").output().is_err() {
        eprintln!(
            "SKIPPED: grpcurl is missing; the same calls are made by other tests of this file"
        );
        return;
    }
    let home = Home::new();
    let maestro = busy(&home).await;
    let known = eventually(seconds(60), async || last(&maestro).await.is_some());
    assert!(known.await);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/metrics-grpc-call.sh");
    let output = Command::new("sh")
        .arg(script)
        .env("GRPC", maestro.grpc.trim_start_matches("http://"))
        .env("NAMESPACE", "arena")
        .env("VERSION", "v1.0.0")
        .env("WATCH_SECONDS", "3")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.matches("versionResourceMetrics").count() >= 2,
        "{output:?}"
    );
}

/// The figures of `docs/k8s-manager.md`, from the second run on:
/// `cargo test --release --test resource_metrics -- --ignored --nocapture figures`.
#[ignore = "it measures a release build"]
#[tokio::test(flavor = "multi_thread")]
async fn figures_of_a_thousand_watches() {
    const WATCHES: usize = 1_000;
    let home = Home::new();
    let maestro = busy(&home).await;
    let known = eventually(seconds(60), async || last(&maestro).await.is_some());
    assert!(known.await);
    let client = maestro_grpc::GrpcClient::new(&maestro.grpc).expect("a URL");
    let context = RequestContext::internal();
    let request = VersionRequest {
        namespace: "arena".into(),
        versionName: "v1.0.0".into(),
        ..VersionRequest::default()
    };
    let (mut watches, mut first) = (Vec::new(), Vec::new());
    let before = memory_kib(maestro.pid());
    for _ in 0..WATCHES {
        let begun = Instant::now();
        let watch = client.watch_version(&context, request.clone()).await;
        let mut watch = watch.expect("a stream");
        assert!(matches!(watch.next().await, Some(Ok(Tick::Samples(_)))));
        first.push(begun.elapsed());
        watches.push(watch);
    }
    // Several ticks, which all of them are told.
    for _ in 0..5 {
        let next = watches.iter_mut().map(|watch| watch.next());
        let told = futures_util::future::join_all(next).await;
        assert!(told.iter().all(|tick| matches!(tick, Some(Ok(_)))));
    }
    let more = memory_kib(maestro.pid()).saturating_sub(before);
    first.sort_unstable();
    let slowest = first[WATCHES * 99 / 100];
    println!("{WATCHES} watches: {more} KiB, first sample within {slowest:?} (99 of 100)");
    assert!(more < 50 * 1024, "{more} KiB");
    assert!(
        slowest < std::time::Duration::from_millis(300),
        "{slowest:?}"
    );
}
