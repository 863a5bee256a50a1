//! How fast rooms are given: those of the share, which are protected already, and others, each of which costs calls.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::task::JoinSet;

const SAFETY: f64 = 0.99;
/// Callers at the same time.
const CALLERS: usize = 16;
/// Of the rate of calls: allocations that go on.
const SUSTAINED: f64 = 0.4;
const TIME: Duration = Duration::from_secs(30);
const MATCH: Duration = Duration::from_secs(1);

struct Fleet {
    site: Site,
    maestro: Maestro,
    rooms: Rooms,
}

impl Fleet {
    /// How long it takes to be given a room, and which.
    async fn allocate(&self) -> (String, Duration) {
        let asked = Instant::now();
        let room = allocate(&self.maestro, &self.site.name).await;
        (room, asked.elapsed())
    }

    /// The pings of these rooms say from now on whether somebody plays there.
    fn play(&self, rooms: impl IntoIterator<Item = String>, is_played: bool) {
        let mut pods = self.rooms.pods.lock();
        for room in rooms {
            if let Some(pod) = pods.get_mut(&room) {
                (pod.is_played, pod.pinged) = (is_played, None);
            }
        }
    }

    async fn until_protected(&self, count: usize) {
        self.rooms
            .until(count, "protected", |pod| pod.is_protected)
            .await;
    }

    async fn unprotected(&self) -> f64 {
        let page = metrics(&self.maestro).await;
        let of_fleet = format!("scheduler=\"{}\"", self.site.name);
        sample(&page, "maestro_allocations_unprotected_total", &[&of_fleet])
    }
}

fn show(what: &str, mut took: Vec<Duration>, within: Duration, late: f64) {
    took.sort();
    println!(
        "{what}: {} rooms given in {within:.2?}, {:.0}/s, p50 {:.1?}, p99 {:.1?}, at most {:.1?}; {late} before they were protected",
        took.len(),
        took.len() as f64 / within.as_secs_f64(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1],
    );
}

/// As many rooms as the share has, asked for at once.
async fn burst(fleet: &Arc<Fleet>, count: usize) -> Vec<String> {
    let (left, late) = (Arc::new(AtomicUsize::new(count)), fleet.unprotected().await);
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (fleet, left) = (fleet.clone(), left.clone());
        callers.spawn(async move {
            let mut given = Vec::new();
            let take = |left: usize| left.checked_sub(1);
            while left.fetch_update(Relaxed, Relaxed, take).is_ok() {
                given.push(fleet.allocate().await);
            }
            given
        });
    }
    let given = callers.join_all().await.concat();
    let within = began.elapsed();
    let (rooms, took) = given.into_iter().unzip();
    show(
        "out of the share",
        took,
        within,
        fleet.unprotected().await - late,
    );
    rooms
}

/// Allocations at a steady rate, whatever the answers take. Each room is free again after its match.
async fn sustained(fleet: &Arc<Fleet>) {
    let late = fleet.unprotected().await;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / (SUSTAINED * QPS)));
    let (began, mut matches) = (Instant::now(), JoinSet::new());
    while began.elapsed() < TIME {
        ticks.tick().await;
        let fleet = fleet.clone();
        matches.spawn(async move {
            let (room, took) = fleet.allocate().await;
            fleet.play([room.clone()], true);
            tokio::time::sleep(MATCH).await;
            fleet.play([room], false);
            took
        });
    }
    let within = began.elapsed();
    let took = matches.join_all().await;
    let late = fleet.unprotected().await - late;
    show("one after the other", took, within, late);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for minutes: bench/kubernetes.sh runs it"]
async fn allocations_out_of_the_share_and_beyond_it() {
    let Some(site) = Site::status_only("share", NODES, READY_AFTER).await else {
        return;
    };
    let (share, safety) = (number("FIGURES_SHARE", 500), SAFETY.to_string());
    let key = "MAESTRO_RUNTIMEWATCHER_DISRUPTIONWORKER_SAFETYPERCENTAGE";
    let home = Home::new();
    let maestro = home.start_with(&borrowed(&with(&site, &[(key, &safety)])));
    let rooms = Rooms::of(&site, &maestro, PING_EVERY);
    let busy = (share as f64 / SAFETY).ceil() as usize;
    let protected = busy + (busy as f64 * SAFETY).ceil() as usize;
    let count = protected + share / 5;
    let new = site.fleet(&home, &maestro.rooms, u32::try_from(count).expect("few"));
    let (status, told) = maestro.post("/schedulers", &new).await;
    assert_eq!(status, 200, "{told}");
    rooms.until_ready(count).await;
    until_ready_rooms(&maestro, &site.name, count as u64).await;
    let fleet = Arc::new(Fleet {
        site,
        maestro,
        rooms,
    });

    let began = Instant::now();
    let played: Vec<String> = fleet.rooms.all().into_keys().take(busy).collect();
    fleet.play(played.clone(), true);
    fleet.until_protected(protected).await;
    println!(
        "{protected} rooms are protected after {:.1?}",
        began.elapsed()
    );
    let given = burst(&fleet, share).await;

    // All of them are free again.
    fleet.play(given.clone(), true);
    let are_occupied = || async {
        let info = fleet.maestro.info(&fleet.site.name).await;
        info["roomsOccupied"] == (busy + share) as u64
    };
    assert!(crate::support::eventually(PATIENCE, are_occupied).await);
    fleet.play(played.into_iter().chain(given), false);
    until_ready_rooms(&fleet.maestro, &fleet.site.name, count as u64).await;
    fleet.until_protected(0).await;
    sustained(&fleet).await;
}
