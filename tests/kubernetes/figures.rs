//! What rooms as pods cost (docs/kubernetes.md, "Figures"): not a test of each change, because it takes minutes and
//! wants a quiet machine. `bench/kubernetes.sh` runs it with the optimized binary.

use crate::site::*;
use crate::support::{Home, Maestro, seconds};
use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use maestro_testkit::control_plane::{ApiProxy, Fault};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// From the binding of a pod until it is ready, as in the figures of the original.
const READY_AFTER: Duration = Duration::from_millis(500);
const NODES: usize = 20;
/// Each of them is pinged for once in this time.
const PING_EVERY: Duration = Duration::from_secs(2);
/// For what takes as long as the API server needs.
const PATIENCE: Duration = Duration::from_secs(1200);

/// When a pod was first seen, and when it was first seen ready.
#[derive(Clone)]
struct Seen {
    created: Instant,
    ready: Option<Instant>,
    version: String,
}

type Pods = Arc<Mutex<BTreeMap<String, Seen>>>;

/// Follows the pods of a site, and pings for those that are ready, as their rooms would.
struct Rooms {
    pods: Pods,
    tasks: [AbortHandle; 2],
}

impl Drop for Rooms {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Rooms {
    fn of(site: &Site, maestro: &Maestro) -> Self {
        let pods = Pods::default();
        let watch = tokio::spawn(follow(site.pods(), pods.clone()));
        let pings = tokio::spawn(ping(maestro.rooms.clone(), site.name.clone(), pods.clone()));
        let tasks = [watch.abort_handle(), pings.abort_handle()];
        Self { pods, tasks }
    }

    fn all(&self) -> BTreeMap<String, Seen> {
        self.pods.lock().clone()
    }

    /// Waits until so many are there, and ready.
    async fn until_ready(&self, count: usize) {
        let until = Instant::now() + PATIENCE;
        loop {
            let ready = self
                .pods
                .lock()
                .values()
                .filter(|pod| pod.ready.is_some())
                .count();
            if ready == count {
                return;
            }
            assert!(Instant::now() < until, "{ready} of {count} are ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a pod that was not there before; when it came.
    async fn next_after(&self, before: &BTreeMap<String, Seen>) -> Instant {
        let until = Instant::now() + seconds(60);
        loop {
            let new = {
                let pods = self.pods.lock();
                let mut new = pods.iter().filter(|(name, _)| !before.contains_key(*name));
                new.next().map(|(_, pod)| pod.created)
            };
            if let Some(created) = new {
                return created;
            }
            assert!(Instant::now() < until, "no pod comes");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn follow(api: Api<Pod>, pods: Pods) {
    let events = watcher(api, watcher::Config::default());
    let each = events.try_for_each(|event| {
        let now = Instant::now();
        let mut pods = pods.lock();
        match event {
            Event::Apply(pod) | Event::InitApply(pod) => {
                let seen = pods.entry(pod.name_any()).or_insert_with(|| Seen {
                    created: now,
                    ready: None,
                    version: version(&pod).to_owned(),
                });
                if seen.ready.is_none() && is_ready(&pod) {
                    seen.ready = Some(now);
                }
            }
            Event::Delete(pod) => drop(pods.remove(&pod.name_any())),
            Event::Init | Event::InitDone => {}
        }
        std::future::ready(Ok(()))
    });
    each.await.expect("a watch");
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let ready = |all: &Vec<_>| {
        all.iter()
            .any(|one: &k8s_openapi::api::core::v1::PodCondition| {
                one.type_ == "Ready" && one.status == "True"
            })
    };
    conditions.is_some_and(ready)
}

/// The first ping of a room follows within milliseconds of its readiness.
async fn ping(rooms_api: String, scheduler: String, pods: Pods) {
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let mut last: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let now = Instant::now();
        let due: Vec<String> = {
            let pods = pods.lock();
            last.retain(|name, _| pods.contains_key(name));
            let ready = pods.iter().filter(|(_, pod)| pod.ready.is_some());
            let due =
                ready.filter(|(name, _)| last.get(*name).is_none_or(|at| now - *at > PING_EVERY));
            due.map(|(name, _)| name.clone()).take(256).collect()
        };
        let sent = due.iter().map(|room| {
            let url = format!("{rooms_api}/scheduler/{scheduler}/rooms/{room}/ping");
            let body = json!({"status": "ready", "timestamp": 1}).to_string();
            http.put(url).body(body).send()
        });
        for (room, sent) in due.iter().zip(futures_util::future::join_all(sent).await) {
            if sent.is_ok() {
                last.insert(room.clone(), now);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_ready_rooms(maestro: &Maestro, scheduler: &str, count: u64) -> Instant {
    let until = Instant::now() + PATIENCE;
    while maestro.ready_rooms(scheduler).await != count {
        assert!(Instant::now() < until, "{}", maestro.info(scheduler).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Instant::now()
}

fn median(mut all: Vec<Duration>) -> (Duration, Duration) {
    all.sort();
    (all[all.len() / 2], all[all.len() - 1])
}

fn number(name: &str, otherwise: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

fn with(site: &Site, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let more = more
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    // What pings for the rooms may be late on a busy machine, which nobody measures.
    let patient = (
        "MAESTRO_SERVICES_ROOMMANAGER_ROOMPINGTIMEOUTMILLIS".to_owned(),
        "600000".to_owned(),
    );
    site.environment()
        .into_iter()
        .chain([patient])
        .chain(more)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for minutes: bench/kubernetes.sh runs it"]
async fn five_hundred_rooms_and_what_follows_an_edit_and_a_loss() {
    let Some(site) = Site::status_only("figures", NODES, READY_AFTER).await else {
        return;
    };
    let home = Home::new();
    let maestro = home.start_with(&borrowed(&with(&site, &[])));
    let rooms = Rooms::of(&site, &maestro);
    let count = number("FIGURES_ROOMS", 500);

    let asked = Instant::now();
    let fleet = site.fleet(&home, &maestro.rooms, u32::try_from(count).expect("few"));
    let (status, told) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{told}");
    rooms.until_ready(count).await;
    let all_ready = until_ready_rooms(&maestro, &site.name, count as u64).await;
    let pods = rooms.all();
    let mut created: Vec<Instant> = pods.values().map(|pod| pod.created).collect();
    created.sort();
    let last_ready = pods
        .values()
        .filter_map(|pod| pod.ready)
        .max()
        .expect("one");
    // Behind the burst, until the last one.
    let steady = &created[created.len() / 2..];
    let rate = (steady.len() - 1) as f64 / (steady[steady.len() - 1] - steady[0]).as_secs_f64();
    println!(
        "0 to {count} rooms: first pod after {:?}, last after {:?}, {rate:.1} pods/s in the second half, \
         all rooms ready {:?} after the last pod",
        created[0] - asked,
        created[created.len() - 1] - asked,
        all_ready.saturating_duration_since(last_ready),
    );

    let mut replaced = Vec::new();
    // More in a row would count as rooms that crash again and again.
    for _ in 0..5 {
        let before = rooms.all();
        let (victim, _) = before.first_key_value().expect("a room");
        let ended = Instant::now();
        site.pods()
            .delete(victim, &DeleteParams::default())
            .await
            .expect("deleted");
        replaced.push(rooms.next_after(&before).await - ended);
        rooms.until_ready(count).await;
        until_ready_rooms(&maestro, &site.name, count as u64).await;
    }
    let (middle, worst) = median(replaced);
    println!("a pod deleted by hand: the next one after {middle:?} (worst of 5: {worst:?})");

    let mut edits = Vec::new();
    for build in 2..5 {
        let before = rooms.all();
        let edited = Instant::now();
        let edit = another(&maestro.rooms, &build.to_string());
        let (status, told) = maestro
            .patch(&format!("/schedulers/{}", site.name), &edit)
            .await;
        assert_eq!(status, 200, "{told}");
        edits.push(rooms.next_after(&before).await - edited);
        let new = format!("v{build}.0.0");
        let until = Instant::now() + PATIENCE;
        while !rooms.all().values().all(|pod| pod.version == new) {
            assert!(Instant::now() < until, "{build} is not rolled out");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!(
            "an edit of all rooms: rolled out after {:?}",
            edited.elapsed()
        );
    }
    let (middle, worst) = median(edits);
    println!("an edit: the first pod after {middle:?} (worst of 3: {worst:?})");
}

/// The value of a sample that has all of these labels.
fn sample(page: &str, name: &str, labels: &[&str]) -> f64 {
    let mut lines = page
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    let value = lines.next().and_then(|line| line.rsplit(' ').next());
    value.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// The largest upper bound of a histogram's buckets, in seconds, that something fell into between two pages.
fn longest(before: &str, after: &str, name: &str, label: &str) -> f64 {
    let bucket = format!("{name}_bucket");
    let counts = |page: &str| -> BTreeMap<(String, u64), f64> {
        let lines = page
            .lines()
            .filter(|line| line.starts_with(&bucket) && line.contains(label));
        let count = |line: &str| {
            let (head, rest) = line.split_once("le=\"")?;
            let (bound, rest) = rest.split_once('"')?;
            let (tail, count) = rest.rsplit_once(' ')?;
            let bound: f64 = bound.parse().ok()?;
            // As text they would not be in order; all are positive, so their bits are.
            Some((
                (format!("{head}{tail}"), bound.to_bits()),
                count.parse().ok()?,
            ))
        };
        lines.filter_map(count).collect()
    };
    let before = counts(before);
    let (mut most, mut series, mut below) = (0_f64, String::new(), 0_f64);
    for ((of, bound), up_to) in counts(after) {
        if of != series {
            (series, below) = (of.clone(), 0.0);
        }
        let new = up_to - before.get(&(of, bound)).copied().unwrap_or(0.0);
        if new > below {
            most = most.max(f64::from_bits(bound));
        }
        below = new;
    }
    most
}

async fn metrics(maestro: &Maestro) -> String {
    let (_, page) = maestro
        .call("GET", &format!("{}/metrics", maestro.internal), None)
        .await;
    match page {
        Value::String(page) => page,
        other => other.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for minutes: bench/kubernetes.sh runs it"]
async fn a_list_of_many_pods_and_its_repetition() {
    let Some(site) = Site::status_only("many", 4 * NODES, READY_AFTER).await else {
        return;
    };
    let proxy = ApiProxy::start(site.plane.kubeconfig()).await;
    let kubeconfig = proxy.kubeconfig().display().to_string();
    let environment = with(
        &site,
        &[
            (
                "MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_KUBECONFIG",
                &kubeconfig,
            ),
            ("MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_QPS", "2000"),
            ("MAESTRO_ADAPTERS_RUNTIME_KUBERNETES_BURST", "2000"),
        ],
    );
    let home = Home::new();
    let maestro = home.start_with(&borrowed(&environment));
    let before = resident(maestro.pid());
    let rooms = Rooms::of(&site, &maestro);
    let count = number("FIGURES_PODS", 10_000);
    let mut fleet = site.fleet(&home, &maestro.rooms, u32::try_from(count).expect("few"));
    fleet["spec"]["containers"][0]["ports"] = json!([]);
    fleet["spec"]["containers"][0]["requests"] = json!({"cpu": "1m", "memory": "1Mi"});
    let (status, told) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{told}");
    rooms.until_ready(count).await;
    until_ready_rooms(&maestro, &site.name, count as u64).await;
    println!(
        "{count} pods: {before} MiB before, {} MiB now",
        resident(maestro.pid())
    );

    let page = metrics(&maestro).await;
    let turns = |page: &str| {
        sample(
            page,
            "maestro_actor_turn_seconds_count",
            &["actor=\"scheduler\"", "message=\"runtime\""],
        )
    };
    let seen = turns(&page);
    let (room, _) = rooms.all().pop_first().expect("a room");
    let room = format!("/schedulers/{}/rooms/{room}", site.name);
    let expired = AtomicBool::new(false);
    proxy.set(move |call| {
        let is_watch = call.query.contains("watch=");
        let first = is_watch && !expired.swap(true, Relaxed);
        first.then_some(Fault::Refuse {
            code: 410,
            reason: "Expired",
            retry_after: None,
        })
    });
    proxy.reset_watches();
    // What waits behind the turns that the list costs.
    let mut waits = Vec::new();
    let until = Instant::now() + seconds(120);
    let mut repeated: Option<Instant> = None;
    while repeated.is_none_or(|at| at.elapsed() < seconds(5)) {
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(maestro.get(&room).await.0, 200);
            waits.push(asked.elapsed());
        }
        if repeated.is_none() && turns(&metrics(&maestro).await) > seen {
            repeated = Some(Instant::now());
        }
        assert!(Instant::now() < until, "the list is not repeated");
    }
    waits.sort();
    println!(
        "the list repeated: no turn beyond {} s, a look at a room p99 {:?}, longest {:?} of {}; {} MiB",
        longest(
            &page,
            &metrics(&maestro).await,
            "maestro_actor_turn_seconds",
            "actor=\"scheduler\""
        ),
        waits[waits.len() * 99 / 100],
        waits[waits.len() - 1],
        waits.len(),
        resident(maestro.pid()),
    );
}

/// MiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.and_then(|text| text.parse::<u64>().ok())
        .expect("a number")
        / 1024
}
