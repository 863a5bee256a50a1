//! Thousands of pods in the watch, and what a repeated list of them costs.

use super::*;
use maestro_testkit::control_plane::{ApiProxy, Fault};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::task::JoinSet;

/// Each room is pinged for once in this time: one generator pings for all of them.
const PING_SELDOM: Duration = Duration::from_secs(30);
/// Looks at a room while the list is repeated.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The list has been worked on when no turn was seen for so long.
const QUIET: Duration = Duration::from_secs(2);

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
    let rooms = Rooms::of(&site, &maestro, PING_SELDOM);
    let count = number("FIGURES_PODS", 10_000);
    let mut fleet = site.fleet(&home, &maestro.rooms, u32::try_from(count).expect("few"));
    fleet["spec"]["containers"][0]["ports"] = json!([]);
    fleet["spec"]["containers"][0]["requests"] = json!({"cpu": "1m", "memory": "1Mi"});
    let (status, told) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{told}");
    rooms.until_ready(count).await;
    until_ready_rooms(&maestro, &site.name, count as u64).await;
    println!(
        "{count} pods: {before} MiB before, {} MiB now; until now no turn took longer than {:?}",
        resident(maestro.pid()),
        longest_turn(&maestro, &site.name).await,
    );

    let page = metrics(&maestro).await;
    let turns = |page: &str| {
        sample(
            page,
            "maestro_actor_turn_seconds_count",
            &["actor=\"scheduler\"", "message=\"runtime\""],
        )
    };
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
    let (waits, within) = while_listed(&maestro, &room, || async {
        turns(&metrics(&maestro).await)
    })
    .await;
    println!(
        "the list repeated: no turn beyond {} s, and {:?} since the start; a look at a room p50 {:?}, p99 {:?}, longest {:?} of {} within {within:.1?}; {} MiB",
        longest(
            &page,
            &metrics(&maestro).await,
            "maestro_actor_turn_seconds",
            "actor=\"scheduler\""
        ),
        longest_turn(&maestro, &site.name).await,
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
        waits[waits.len() - 1],
        waits.len(),
        resident(maestro.pid()),
    );
}

/// Of the scheduler's owner, since it started: also of those in which the rooms were made.
async fn longest_turn(maestro: &Maestro, scheduler: &str) -> Duration {
    let path = format!("/debug/actors?scheduler={scheduler}");
    let (status, told) = maestro.internal("GET", &path, None).await;
    assert_eq!(status, 200, "{told}");
    let mut actors = told["actors"].as_array().expect("actors").iter();
    let owner = actors.find(|actor| actor["kind"] == "scheduler");
    let longest = owner.and_then(|owner| owner["longest_turn_us"].as_u64());
    Duration::from_micros(longest.expect("its time"))
}

/// What waits behind the turns that the list costs: how long looks at a room took while it was worked on, in order, and
/// how long that was. The looks come at a steady rate, so that many of them wait for one long turn.
async fn while_listed<F: Future<Output = f64>>(
    maestro: &Maestro,
    room: &str,
    turns: impl Fn() -> F,
) -> (Vec<Duration>, Duration) {
    let mut looks = JoinSet::new();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut seen = turns().await;
    let mut counted = Instant::now();
    let mut list: Option<(Instant, Instant)> = None;
    let until = Instant::now() + seconds(120);
    while list.is_none_or(|(_, last)| last.elapsed() < QUIET) {
        let (http, url) = (
            maestro.http.clone(),
            format!("{}{room}", maestro.management),
        );
        ticks.tick().await;
        looks.spawn(async move {
            let asked = Instant::now();
            let answer = http.get(url).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            (asked, asked.elapsed())
        });
        if counted.elapsed() > Duration::from_millis(100) {
            counted = Instant::now();
            let now = turns().await;
            if now > seen {
                // What was counted now may have begun with the last look.
                let first = list.map_or(counted - Duration::from_millis(200), |(first, _)| first);
                list = Some((first, Instant::now()));
            }
            seen = now;
        }
        assert!(Instant::now() < until, "the list is not repeated");
    }
    let (first, last) = list.expect("a list");
    let all = looks.join_all().await.into_iter();
    let within = all.filter(|(asked, _)| (first..=last).contains(asked));
    let mut waits: Vec<Duration> = within.map(|(_, took)| took).collect();
    waits.sort();
    (waits, last - first)
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
