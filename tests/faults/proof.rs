//! What must hold when the faults are over, read from the databases and from every node.

use crate::nodes::{Api, NODES};
use crate::promises::Open;
use crate::story::Story;
use crate::users::{FLEETS, Users};
use crate::watch::query;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Within this time everything comes to rest.
const AT_REST_WITHIN: Duration = Duration::from_secs(60);
const PERIODIC: [&str; 2] = ["health_controller", "storage_clean_up"];

impl Story {
    /// Until all operations have ended and all fleets have their size.
    pub async fn comes_to_rest(&self) {
        let until = Instant::now() + AT_REST_WITHIN;
        loop {
            let Some(why) = self.unrest().await else {
                return;
            };
            if Instant::now() > until {
                return self
                    .users
                    .told()
                    .wrong(format!("it does not come to rest: {why}"));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn unrest(&self) -> Option<String> {
        let open: Vec<Open> = self.users.told().open.clone();
        let losses = self.users.seen().losses;
        // Of an operation from before a loss of Redis its history may be lost.
        if let Some(stuck) = open.iter().find(|open| open.losses == losses) {
            return Some(format!("operation {} of {}", stuck.id, stuck.scheduler));
        }
        for fleet in FLEETS {
            for stage in ["active", "pending"] {
                let path = format!("/schedulers/{fleet}/operations?stage={stage}");
                let Some((200, body)) = self.users.get(&path).await else {
                    return Some(format!("{fleet} does not list its operations"));
                };
                let operations = body["operations"].as_array().expect("a list");
                if let Some(stuck) = operations.iter().find(|o| !is_periodic(o)) {
                    return Some(format!("{fleet}: {stuck}"));
                }
            }
            if let Some(why) = self.rooms(fleet).await {
                return Some(why);
            }
        }
        None
    }

    async fn rooms(&self, fleet: &str) -> Option<String> {
        let path = format!("/schedulers/{fleet}");
        let (_, scheduler) = self.users.get(&path).await?;
        let (_, rooms) = self.users.get(&format!("{path}/rooms?perPage=100")).await?;
        let wanted = scheduler["scheduler"]["roomsReplicas"].as_u64();
        let found = rooms["rooms"].as_array().map(|rooms| rooms.len() as u64);
        (wanted != found).then(|| format!("{fleet} has {found:?} rooms instead of {wanted:?}"))
    }

    /// Everything that was promised is there.
    pub async fn prove(&self) {
        for node in 0..NODES {
            for fleet in FLEETS {
                let path = format!("/schedulers/{fleet}");
                let route = ("GET", Api::Management, path.as_str());
                let answer = self.users.nodes.call(node, route, None).await.answer;
                if !matches!(answer, Some((200, _))) {
                    self.users
                        .told()
                        .wrong(format!("{fleet} at node {node}: {answer:?}"));
                }
            }
        }
        self.prove_schedulers().await;
        self.prove_versions().await;
        self.prove_lost_histories().await;
        self.prove_rooms().await;
        self.prove_redis();
    }

    async fn prove_schedulers(&self) {
        let rows = query(self.stores.database.url(), "SELECT name FROM schedulers").await;
        let rows = rows.expect("Postgres answers");
        let names: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let mut told = self.users.told();
        let must: BTreeSet<String> = FLEETS.map(str::to_owned).into_iter().collect();
        let must: BTreeSet<String> = must.union(&told.created).cloned().collect();
        let lost: Vec<_> = must.difference(&names).cloned().collect();
        let undead: Vec<_> = names.intersection(&told.deleted).cloned().collect();
        let invented = names
            .iter()
            .filter(|n| !must.contains(*n) && !told.maybe.contains(*n));
        let invented: Vec<_> = invented.cloned().collect();
        if !(lost.is_empty() && undead.is_empty() && invented.is_empty()) {
            told.wrong(format!(
                "schedulers lost: {lost:?}, undead: {undead:?}, invented: {invented:?}"
            ));
        }
    }

    /// Each finished edit is a version.
    async fn prove_versions(&self) {
        let marks = self.marks().await;
        let mut told = self.users.told();
        let lost: Vec<_> = FLEETS
            .iter()
            .flat_map(|fleet| {
                let edits = told.edits.get(*fleet).into_iter().flatten();
                edits.map(move |mark| (fleet.to_string(), *mark))
            })
            .filter(|edit| !marks.contains(edit))
            .collect();
        if !lost.is_empty() {
            told.wrong(format!("edits lost: {lost:?}"));
        }
    }

    async fn marks(&self) -> BTreeSet<(String, u64)> {
        let sql = "SELECT name, yaml FROM scheduler_versions";
        let rows = query(self.stores.database.url(), sql)
            .await
            .expect("Postgres answers");
        rows.iter()
            .filter_map(|row| Some((row.get(0), mark_of(row.get(1))?)))
            .collect()
    }

    /// With Redis the histories of operations were lost, but not what they did, unless their owner was lost as well.
    async fn prove_lost_histories(&self) {
        let marks = self.marks().await;
        let mut told = self.users.told();
        let open = std::mem::take(&mut told.open);
        told.forgotten = open.len() as u64;
        for lost in open {
            let excused = self
                .users
                .seen()
                .is_unremembered(&lost.scheduler, lost.losses);
            if let Some(mark) = lost.edit
                && !excused
                && !marks.contains(&(lost.scheduler.clone(), mark))
            {
                told.wrong(format!(
                    "edit {mark} of {} is lost with Redis",
                    lost.scheduler
                ));
            }
        }
    }

    /// Each room that is served was created by the runtime of a node.
    async fn prove_rooms(&self) {
        let nodes = self.users.nodes.all.iter();
        let created: BTreeSet<String> = nodes.flat_map(|node| node.rooms()).collect();
        for fleet in FLEETS {
            let path = format!("/schedulers/{fleet}/rooms?perPage=100");
            let answer = self.users.get(&path).await;
            let rooms = answer
                .map(|(_, body)| body["rooms"].clone())
                .unwrap_or_default();
            for room in rooms.as_array().into_iter().flatten() {
                if !room["id"].as_str().is_some_and(|id| created.contains(id)) {
                    self.users
                        .told()
                        .wrong(format!("{fleet}: nobody created {room}"));
                }
            }
        }
    }

    /// Nothing waits in the queues, and nothing counts as running.
    fn prove_redis(&self) {
        let ask = |command: &[&str]| self.stores.redis.texts(command);
        for fleet in FLEETS {
            for id in ask(&[
                "ZRANGE",
                &format!("operations:{fleet}:lists:active"),
                "0",
                "-1",
            ]) {
                let kind = ask(&[
                    "HGET",
                    &format!("operations:{fleet}:{id}"),
                    "definitionName",
                ]);
                if !kind.iter().any(|kind| PERIODIC.contains(&kind.as_str())) {
                    self.users
                        .told()
                        .wrong(format!("{fleet}: operation {id} ({kind:?}) runs for ever"));
                }
            }
        }
    }
}

fn mark_of(document: &str) -> Option<u64> {
    let document: Value = serde_json::from_str(document).ok()?;
    document["Annotations"]["imageregistry"]
        .as_str()?
        .parse()
        .ok()
}

fn is_periodic(operation: &Value) -> bool {
    let name = operation["definitionName"].as_str().unwrap_or_default();
    PERIODIC.contains(&name)
}

/// The share `part` of all values is at most the answer.
pub fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * part).ceil() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

/// Prints what was done and measured.
pub fn report(users: &Users, story: &Story, took: Duration) {
    let mut sorted = story.taken_over.clone();
    sorted.sort();
    let told = users.told();
    let seen = users.seen();
    println!("{} kills in {:.0} s", story.kills, took.as_secs_f64());
    println!(
        "take-over of {} schedulers: p50 {:.2?}, p99 {:.2?}, longest {:.2?}",
        sorted.len(),
        percentile(&sorted, 0.5),
        percentile(&sorted, 0.99),
        sorted.last().copied().unwrap_or_default()
    );
    println!(
        "{} changes acknowledged; operations: {:?}",
        told.acknowledged, told.ended
    );
    println!("{} histories of operations lost with Redis", told.forgotten);
    println!("answers: {:?}", told.answers);
    println!("slowest: {:?}", told.slowest);
    println!(
        "{} looks at the owners, {} changes of owners",
        seen.looks, seen.changes
    );
}
