//! What a version uses, by a Prometheus that says what it is told to: points 7 to 10.

use super::{Accepted, NAME};
use crate::support::{eventually, seconds};
use futures_util::StreamExt;
use maestro_api::codec::messages::resourcemetrics::VersionRequest;
use maestro_api::{RequestContext, ResourceMetricsApi, Tick};
use maestro_grpc::GrpcClient;
use maestro_testkit::servers::http::{Answer as Reply, HttpServer, Request};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What Prometheus says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Says {
    /// The same of each version at all times, but CPU only from one step later on.
    #[default]
    All,
    /// As before, but nothing of memory in the last step.
    LessMemory,
    Nothing,
    /// That it is not ready.
    Away,
}

/// A Prometheus that can be told what to say, and how often it was asked.
#[derive(Clone, Default)]
pub struct Told {
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl Told {
    fn says(&self, says: Says) {
        *self.says.lock().expect("not poisoned") = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

pub async fn known_sizes() -> (HttpServer, Told) {
    let told = Told::default();
    let of = told.clone();
    let answer = move |request: Request| {
        of.asked.fetch_add(1, Ordering::Relaxed);
        let says = *of.says.lock().expect("not poisoned");
        if says == Says::Away {
            return Reply::Text(503, "not ready".to_owned());
        }
        if !request.body.contains("start=") {
            // Nothing was found, and what is scraped of the namespace is asked.
            let seen = ["containers", "pods", "labels"]
                .map(|seen| json!({"metric": {"seen": seen}, "value": [0, "2"]}));
            let data = json!({"resultType": "vector", "result": seen});
            return Reply::Text(200, json!({"status": "success", "data": data}).to_string());
        }
        let field = |name: &str| -> f64 {
            let found = request.body.split('&').find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                (key == name).then(|| value.replace("%2E", ".").parse().expect("a number"))
            });
            found.unwrap_or_else(|| panic!("no {name}: {}", request.body))
        };
        let is_cpu = request.body.contains("cpu");
        let (size, late) = if is_cpu {
            ("0.35", 1)
        } else {
            ("150000000", 0)
        };
        let (start, end, step) = (field("start"), field("end"), field("step"));
        let steps = ((end - start) / step).round() as u32;
        let missing = u32::from(says == Says::LessMemory && !is_cpu);
        let known = if says == Says::Nothing {
            1..1
        } else {
            late..steps + 1 - missing
        };
        let values: Vec<Value> = known
            .map(|n| json!([start + step * f64::from(n), size]))
            .collect();
        let result = json!([{"metric": {}, "values": values}]);
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
        Reply::Text(200, body.to_string())
    };
    (HttpServer::start(answer).await, told)
}

/// 7 and 8: figures of a version, and what is not asked for.
pub async fn figures_are_those_of_prometheus(all: &Accepted) {
    let quarter = "fromDate=2026-01-02T12:00:00Z&toDate=2026-01-02T12:15:00Z";
    let path = format!("versions/v2.0.0/metrics?{quarter}&step=60");
    let row = |n: usize, cpu: Value, mem: Value| {
        let date = format!("2026-01-02T12:{n:02}:00Z");
        json!({"date": date, "cpu": cpu, "mem": mem})
    };
    for (says, mem) in [(Says::All, 150_000_000), (Says::LessMemory, 0)] {
        all.told.says(says);
        let (status, answer) = all.ordered("GET", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        let rows = answer["versionResourceMetrics"].as_array().expect("rows");
        assert_eq!(rows.len(), 16);
        let first = row(0, json!(0), json!(150_000_000));
        assert_eq!(rows[0], first, "memory is not shifted");
        assert_eq!(rows[15], row(15, json!(0.35), json!(mem)), "{says:?}");
    }
    all.told.says(Says::All);
    let (status, answer) = all.ordered("GET", &path.replace("=60", "=0"), None).await;
    assert_eq!(status, 200, "as without a step: {answer}");
    let before = all.told.asked();
    let reversed = "fromDate=2026-01-02T12:00:01Z&toDate=2026-01-02T12:00:00Z&step=60";
    let many = "fromDate=2026-01-02T12:00:00Z&toDate=2026-01-02T15:03:20Z&step=1";
    for wrong in [
        "versions/v2%22/metrics".to_owned(),
        format!("versions/v2.0.0/metrics?{reversed}"),
        format!("versions/v2.0.0/metrics?{many}"),
        format!("versions/v2.0.0/metrics?{quarter}&step=-1"),
    ] {
        let (status, refused) = all.ordered("GET", &wrong, None).await;
        assert_eq!(
            (status, &refused["code"]),
            (400, &json!(3)),
            "{wrong}: {refused}"
        );
    }
    assert_eq!(all.told.asked(), before, "nothing is asked");
}

/// The events of a watch.
struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(all: &Accepted, last: Option<&str>) -> Self {
        let path = format!("/schedulers/{NAME}/versions/v2.0.0/metrics/watch?step=1");
        let url = format!("{}{path}", all.maestro.management);
        let mut request = all.maestro.http.get(url);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let text = String::new();
        Self { answer, text }
    }

    /// The next event: its name, and what it says.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let found = event.lines().find_map(|line| line.strip_prefix(name));
                    found.map(|value| value.trim().to_owned())
                };
                let (kind, data) = (field("event:"), field("data:"));
                self.text = rest.to_owned();
                if let (Some(kind), Some(data)) = (kind, data) {
                    return (kind, serde_json::from_str(&data).expect("JSON"));
                }
                continue;
            }
            let chunk = tokio::time::timeout(seconds(20), self.answer.chunk()).await;
            let chunk = chunk.expect("it goes on").expect("a chunk").expect("more");
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// The samples of the next event of this kind, with their times.
    async fn samples(&mut self) -> Vec<(jiff::Timestamp, Value)> {
        loop {
            let (kind, data) = self.next().await;
            if kind == "metrics" {
                let rows = data["versionResourceMetrics"].as_array().cloned();
                let dated = rows.expect("rows").into_iter().map(|row| {
                    let date = row["date"].as_str().expect("a date");
                    (date.parse().expect("a time"), row)
                });
                return dated.collect();
            }
        }
    }
}

/// 9: a watch tells at once, then what is newer, and goes on after a tick without an answer and a lost connection.
pub async fn watches_go_on(all: &Accepted) {
    let mut events = Events::open(all, None).await;
    let mut times: Vec<_> = events.samples().await;
    times.extend(events.samples().await);
    all.told.says(Says::Away);
    while events.next().await.0 != "error" {}
    all.told.says(Says::All);
    times.extend(events.samples().await);
    drop(events);
    let last = times.last().expect("one").0;
    let mut events = Events::open(all, Some(&last.to_string())).await;
    times.extend(events.samples().await);
    for pair in times.windows(2) {
        let step = pair[1].0.duration_since(pair[0].0).as_secs();
        assert_eq!(step, 1, "a gap or a repetition: {times:?}");
    }
    all.told.says(Says::Nothing);
    let is_zero = |(_, row): &(jiff::Timestamp, Value)| row["cpu"] == 0 && row["mem"] == 0;
    while !events.samples().await.iter().all(is_zero) {}
    all.told.says(Says::All);
    drop(events);
    // A client that has gone leaves no question.
    let mut before = all.told.asked();
    let quiet = || {
        let now = all.told.asked();
        let is_quiet = std::mem::replace(&mut before, now) == now;
        async move {
            tokio::time::sleep(seconds(2)).await;
            is_quiet
        }
    };
    assert!(eventually(seconds(20), quiet).await, "it is still asked");
}

/// 10: the script of the K8s manager's manual, or its calls where `grpcurl` is missing, which it needs.
pub async fn the_script_shows_samples(all: &Accepted) {
    if Command::new("grpcurl").arg("--version").output().is_err() {
        return its_calls_show_samples(all).await;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/metrics-grpc-call.sh");
    let mut command = Command::new("sh");
    command
        .args([script])
        .env("NAMESPACE", NAME)
        .env("VERSION", "v2.0.0");
    let address = all.maestro.grpc.trim_start_matches("http://");
    command.env("GRPC", address).env("WATCH_SECONDS", "3");
    let output = command.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let samples = said.matches("\"mem\"").count();
    assert!(samples >= 26, "two hours at 300 s, and more: {output:?}");
}

async fn its_calls_show_samples(all: &Accepted) {
    let client = GrpcClient::new(&all.maestro.grpc).expect("a URL");
    let context = RequestContext::internal();
    let now = jiff::Timestamp::now();
    let about = |from: jiff::Timestamp| VersionRequest {
        namespace: NAME.into(),
        versionName: "v2.0.0".into(),
        fromDate: from.to_string(),
        toDate: now.to_string(),
        step: 300,
    };
    let from = now - Duration::from_secs(7_200);
    let samples = client.get_version(&context, about(from)).await;
    let samples = samples.expect("an answer").versionResourceMetrics;
    assert_eq!(samples.len(), 25, "two hours at 300 s");
    let watch = client.watch_version(&context, about(now)).await;
    let first = watch.expect("a stream").next().await;
    assert!(matches!(first, Some(Ok(Tick::Samples(_)))), "{first:?}");
}
