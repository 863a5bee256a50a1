//! What goes wrong, one thing after the other, and how long it takes until everything is served again.

use crate::nodes::{Api, NODES};
use crate::stores::Stores;
use crate::users::{Chance, FLEETS, Users};
use maestro_testkit::proxy::Network;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Within this time everything must be served again.
const SERVED_WITHIN: Duration = Duration::from_secs(45);
/// Longer than a lease, and than the time until somebody else takes over.
const STOPPED: Duration = Duration::from_millis(5_000);
const OUTAGE: Duration = Duration::from_millis(2_500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Kill,
    Stop,
    PostgresRestarts,
    RedisRestarts,
    RedisLosesAll,
    PostgresFull,
    RedisFull,
    /// Of one node, to Postgres and to Redis.
    Network(Network, bool, bool),
    /// Redis loses its data while an owner stands still; it wakes up when another node owns its schedulers.
    StopAndLose,
    /// Redis loses its data, and an owner is killed before it can notice.
    KillAndLose,
}

const OTHERS: [Fault; 10] = [
    Fault::Stop,
    Fault::PostgresRestarts,
    Fault::RedisRestarts,
    Fault::RedisLosesAll,
    Fault::PostgresFull,
    Fault::RedisFull,
    Fault::Network(Network::Holds, true, true),
    Fault::Network(Network::Loses, true, true),
    Fault::Network(Network::Resets, true, true),
    Fault::Network(Network::Delays(Duration::from_millis(100)), true, true),
];
/// Two at once, and only one of two connections: in long runs.
const RARE: [Fault; 4] = [
    Fault::StopAndLose,
    Fault::KillAndLose,
    Fault::Network(Network::Loses, true, false),
    Fault::Network(Network::Loses, false, true),
];

/// The kills and everything else, in an order that the seed decides.
pub fn plan(seed: u64, kills: usize) -> Vec<Fault> {
    let mut all = vec![Fault::Kill; kills];
    for _ in 0..kills.div_ceil(40) {
        all.extend(OTHERS);
    }
    for _ in 0..kills / 40 {
        all.extend(RARE);
    }
    Chance::new(seed).shuffle(&mut all);
    all
}

/// One run of faults.
pub struct Story {
    pub users: Arc<Users>,
    pub stores: Stores,
    /// From each kill until a scheduler of the dead node was served by another one.
    pub taken_over: Vec<Duration>,
    pub kills: usize,
}

impl Story {
    pub async fn suffer(&mut self, fault: Fault) {
        sleep(self.users.chance.millis(100, 700)).await;
        let begun = Instant::now();
        let node = self.victim();
        eprintln!("{} {fault:?}, node {node}", jiff::Timestamp::now());
        match fault {
            Fault::Kill => self.kill(node).await,
            Fault::Stop => self.freeze(node).await,
            Fault::PostgresRestarts => self.stores.restart_postgres().await,
            Fault::RedisRestarts => {
                self.stores.redis.kill();
                sleep(self.users.chance.millis(0, 2_000)).await;
                self.stores.redis.again().await;
            }
            Fault::RedisLosesAll => self.lose(None).await,
            Fault::PostgresFull if !self.stores.has_small_disk() => {}
            Fault::PostgresFull => {
                self.stores.fill_postgres();
                sleep(OUTAGE).await;
                self.stores.empty_postgres().await;
            }
            Fault::RedisFull => {
                self.stores.fill_redis();
                sleep(OUTAGE).await;
                self.stores.empty_redis();
            }
            Fault::Network(network, postgres, redis) => {
                let entry = self.users.nodes.all[node].clone();
                entry.network(network, postgres, redis);
                sleep(self.users.chance.millis(500, 4_000)).await;
                entry.network(Network::Works, postgres, redis);
            }
            Fault::StopAndLose => {
                let entry = self.users.nodes.all[node].clone();
                entry.freeze();
                self.lose(Some(node)).await;
                sleep(STOPPED).await;
                entry.thaw();
            }
            Fault::KillAndLose => {
                self.users.nodes.all[node].kill();
                self.lose(Some(node)).await;
                self.users.nodes.restart(node).await;
            }
        }
        self.goes_on(fault).await;
        eprintln!("{fault:?}: {:.1} s", begun.elapsed().as_secs_f64());
    }

    /// Mostly a node that owns something.
    fn victim(&self) -> usize {
        let chance = &self.users.chance;
        let fleet = FLEETS[chance.below(FLEETS.len())];
        let owner = {
            let seen = self.users.seen();
            seen.owners
                .get(fleet)
                .and_then(|owner| owner.session.clone())
        };
        let nodes = &self.users.nodes.all;
        let owner = nodes.iter().position(|node| Some(node.session()) == owner);
        match chance.below(5) {
            0 => chance.below(NODES),
            _ => owner.unwrap_or_else(|| chance.below(NODES)),
        }
    }

    async fn kill(&mut self, node: usize) {
        let entry = self.users.nodes.all[node].clone();
        let orphans = self.users.seen().owned_by(&entry.session());
        let killed = Instant::now();
        entry.kill();
        self.kills += 1;
        let mut probes = JoinSet::new();
        for fleet in FLEETS
            .iter()
            .filter(|fleet| orphans.iter().any(|o| o == *fleet))
        {
            probes.spawn(served_again(self.users.clone(), fleet, killed));
        }
        sleep(self.users.chance.millis(0, 3_000)).await;
        self.users.nodes.restart(node).await;
        while let Some(took) = probes.join_next().await {
            self.taken_over.extend(took.expect("it does not panic"));
        }
    }

    async fn freeze(&mut self, node: usize) {
        let entry = self.users.nodes.all[node].clone();
        entry.freeze();
        sleep(STOPPED).await;
        entry.thaw();
    }

    /// Redis loses its data, and so does what this node owned.
    async fn lose(&mut self, without: Option<usize>) {
        self.stores.redis.kill();
        self.stores.redis.forget();
        let session = without.map(|node| self.users.nodes.all[node].session());
        {
            let mut seen = self.users.seen();
            let owned = session.map(|session| seen.owned_by(&session));
            seen.redis_lost(owned.unwrap_or_default());
        }
        self.stores.redis.again().await;
    }

    /// Every node serves every fleet, and orders for every fleet are acknowledged again.
    async fn goes_on(&self, fault: Fault) {
        let begun = Instant::now();
        let before = self.users.told().orders.clone();
        let mut last = None;
        loop {
            let unserved = self.unserved().await;
            let silent = FLEETS
                .iter()
                .find(|fleet| self.users.told().orders.get(**fleet) == before.get(**fleet));
            let silent = silent.map(|fleet| format!("no order of {fleet} is acknowledged"));
            let Some(why) = unserved.or(silent) else {
                break;
            };
            if begun.elapsed() > SERVED_WITHIN {
                let text = format!("after {fault:?} it does not go on: {why}");
                return self.users.told().wrong(text);
            }
            last = Some((begun.elapsed(), why));
            sleep(Duration::from_millis(100)).await;
        }
        if let Some((waited, why)) = last.filter(|(waited, _)| waited.as_secs() > 3) {
            eprintln!("after {waited:.1?} still: {why}");
        }
    }

    async fn unserved(&self) -> Option<String> {
        for node in 0..NODES {
            for fleet in FLEETS {
                if let Err(why) = serves(&self.users, node, fleet).await {
                    return Some(format!("{fleet} at node {node}: {why}"));
                }
            }
        }
        None
    }
}

/// Asks what only the owner knows.
async fn serves(users: &Users, node: usize, fleet: &str) -> Result<(), String> {
    let path = format!("/schedulers/{fleet}/rollout");
    let outcome = users
        .nodes
        .call(node, ("GET", Api::Management, &path), None)
        .await;
    match outcome.answer {
        Some((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

async fn served_again(users: Arc<Users>, fleet: &'static str, killed: Instant) -> Option<Duration> {
    let mut why = String::new();
    while killed.elapsed() < SERVED_WITHIN {
        let up = users.nodes.up();
        let node = up[users.chance.below(up.len())];
        match serves(&users, node, fleet).await {
            Ok(()) => return Some(killed.elapsed()),
            Err(reason) => why = reason,
        }
        sleep(Duration::from_millis(20)).await;
    }
    users
        .told()
        .wrong(format!("{fleet} is not taken over: {why}"));
    None
}
