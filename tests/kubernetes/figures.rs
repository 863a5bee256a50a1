//! What rooms as pods cost (docs/kubernetes.md, "Figures"): not a test of each change, because it takes minutes and
//! wants a quiet machine. `bench/kubernetes.sh` runs it with the optimized binary.

mod allocations;
mod many;

use crate::site::*;
use crate::support::{Home, Maestro, seconds};
use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// From the binding of a pod until it is ready, as in the figures of the original.
const READY_AFTER: Duration = Duration::from_millis(500);
const NODES: usize = 20;
/// Each of them is pinged for once in this time.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Of Maestro, by default.
const QPS: f64 = 100.0;
const BURST: f64 = 200.0;
/// For what takes as long as the API server needs.
const PATIENCE: Duration = Duration::from_secs(1200);

/// When a pod was first seen, and when it was first seen ready.
#[derive(Clone)]
struct Seen {
    created: Instant,
    ready: Option<Instant>,
    version: String,
    is_protected: bool,
    /// Whether somebody plays in its room, by what its pings say.
    is_played: bool,
    pinged: Option<Instant>,
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
    fn of(site: &Site, maestro: &Maestro, every: Duration) -> Self {
        let pods = Pods::default();
        let watch = tokio::spawn(follow(site.pods(), pods.clone()));
        let url = format!("{}/scheduler/{}/rooms", maestro.rooms, site.name);
        let pings = tokio::spawn(ping(url, every, pods.clone()));
        let tasks = [watch.abort_handle(), pings.abort_handle()];
        Self { pods, tasks }
    }

    fn all(&self) -> BTreeMap<String, Seen> {
        self.pods.lock().clone()
    }

    /// Waits until so many are as told.
    async fn until(&self, count: usize, what: &str, is: impl Fn(&Seen) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.pods.lock().values().filter(|pod| is(pod)).count();
            if found == count {
                return;
            }
            assert!(Instant::now() < until, "{found} of {count} are {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_ready(&self, count: usize) {
        self.until(count, "ready", |pod| pod.ready.is_some()).await;
    }

    /// Waits for a pod that was not there before; when it came.
    async fn next_after(&self, before: &BTreeMap<String, Seen>) -> Instant {
        let until = Instant::now() + seconds(60);
        loop {
            let new = {
                let pods = self.pods.lock();
                let new = pods.iter().filter(|(name, _)| !before.contains_key(*name));
                new.map(|(_, pod)| pod.created).min()
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
                    is_protected: false,
                    is_played: false,
                    pinged: None,
                });
                seen.is_protected = is_protected(&pod);
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
async fn ping(rooms_api: String, every: Duration, pods: Pods) {
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    loop {
        let now = Instant::now();
        let due: Vec<(String, bool)> = {
            let mut pods = pods.lock();
            let is_due = |pod: &Seen| {
                pod.ready.is_some() && pod.pinged.is_none_or(|pinged| now - pinged > every)
            };
            let due = pods.iter_mut().filter(|(_, pod)| is_due(pod)).take(256);
            due.map(|(name, pod)| {
                pod.pinged = Some(now);
                (name.clone(), pod.is_played)
            })
            .collect()
        };
        let sent = due.iter().map(|(room, is_played)| {
            let url = format!("{rooms_api}/{room}/ping");
            let status = if *is_played { "occupied" } else { "ready" };
            let body = json!({"status": status, "runningMatches": u8::from(*is_played)});
            http.put(url).body(body.to_string()).send()
        });
        for ((room, _), sent) in due.iter().zip(futures_util::future::join_all(sent).await) {
            if sent.is_err()
                && let Some(pod) = pods.lock().get_mut(room)
            {
                pod.pinged = None;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_ready_rooms(maestro: &Maestro, scheduler: &str, count: u64) -> Instant {
    let until = Instant::now() + PATIENCE;
    while maestro.ready_rooms(scheduler).await != count {
        assert!(Instant::now() < until, "{}", maestro.info(scheduler).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
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
    // What pings for the rooms may be late on a busy machine, and so may be what places and starts thousands of pods:
    // rooms that are replaced meanwhile would be measured too.
    let patient = ["PING", "INITIALIZATION", "SCHEDULE"].map(|what| {
        let key = format!("MAESTRO_SERVICES_ROOMMANAGER_ROOM{what}TIMEOUTMILLIS");
        (key, PATIENCE.as_millis().to_string())
    });
    site.environment()
        .into_iter()
        .chain(patient)
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
    let rooms = Rooms::of(&site, &maestro, PING_EVERY);
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
    println!(
        "0 to {count} rooms: first pod after {:?}, last after {:?}, all rooms ready {:?} after the last pod",
        created[0] - asked,
        created[created.len() - 1] - asked,
        all_ready.saturating_duration_since(last_ready),
    );
    // What the rate allowed in that time: a share of it that was not used at first is used later.
    let time = (created[created.len() - 1] - created[0]).as_secs_f64();
    let allowed = BURST + QPS * time;
    let page = metrics(&maestro).await;
    let sent = |urgency: &str| {
        let label = format!("urgency=\"{urgency}\"");
        sample(&page, "maestro_kubernetes_calls_total", &[&label])
    };
    let [urgent, normal] = ["urgent", "normal"].map(sent);
    let share = 100.0 * count as f64 / allowed;
    println!(
        "{count} rooms are {share:.1} % of the {allowed:.0} calls that {QPS} per second and {BURST} at once allow in {time:.2} s; until \
         now {urgent} for the protection, {normal} others",
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
