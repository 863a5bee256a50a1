//! Three real processes on a real Postgres and a real Redis, while everything around them fails: they are killed and
//! stopped, the stores are restarted, emptied and filled, and the network between them holds, loses and resets.
//! Meanwhile rooms ping, matchmakers allocate and operators edit through any node. All that is proven is seen from
//! outside: answers, and what the databases hold.
//!
//! `FAULTS_KILLS` is the number of kills (10), `FAULTS_SEED` decides the order of the faults, `FAULTS_TAKEOVER_MILLIS`
//! is the limit of a take-over (p99). `cargo xtask faults` sets them. Real processes do not repeat themselves: the same
//! seed means the same faults, not the same run.

mod nodes;
mod promises;
mod proof;
mod stores;
mod story;
#[path = "../support/mod.rs"]
mod support;
mod users;
mod watch;

use nodes::Nodes;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stores::Stores;
use story::Story;
use support::eventually;
use users::{FLEETS, Users, fleet};
use watch::{Seen, watch};

/// In the debug build on a machine that does other things too.
const TAKEOVER_MILLIS: u64 = 12_000;
const KILLS: u64 = 10;
const PRIVATE: &str = "FAULTS_PRIVATE_MOUNTS";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Goes on in a mount namespace of its own, where that is possible: what is mounted there is gone with this process.
fn with_private_mounts() {
    if std::env::var_os(PRIVATE).is_some() || !rustix::process::geteuid().is_root() {
        return;
    }
    let myself = std::env::current_exe().expect("a program");
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let probe = Command::new("unshare").args(["--mount", "true"]).status();
    if probe.is_ok_and(|status| status.success()) {
        let mut again = Command::new("unshare");
        again
            .arg("--mount")
            .arg(myself)
            .args(arguments)
            .env(PRIVATE, "1");
        panic!("{}", again.exec());
    }
}

#[test]
fn nothing_that_was_promised_is_lost_whatever_fails() {
    with_private_mounts();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let now = || jiff::Timestamp::now().as_nanosecond() as u64;
    let seed = number("FAULTS_SEED").unwrap_or_else(now);
    let kills = number("FAULTS_KILLS").unwrap_or(KILLS) as usize;
    println!("FAULTS_SEED={seed} FAULTS_KILLS={kills}");
    let Some(stores) = Stores::start().await else {
        return;
    };
    let begun = Instant::now();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (url, redis) = (
        stores.database.url().to_owned(),
        stores.redis.address().to_owned(),
    );
    let watching = tokio::spawn(watch(url, redis, seen.clone()));
    let users = Users::new(Nodes::start(&stores).await, seen, seed);
    create(&users).await;
    let tasks = users.begin();
    let mut story = Story {
        users: users.clone(),
        stores,
        taken_over: Vec::new(),
        kills: 0,
    };
    for fault in story::plan(seed, kills) {
        story.suffer(fault).await;
    }
    users.rest();
    story.comes_to_rest().await;
    users.stop();
    for task in tasks {
        if let Err(error) = task.await {
            users.told().wrong(format!("a user gave up: {error}"));
        }
    }
    story.prove().await;
    watching.abort();
    proof::report(&users, &story, begun.elapsed());
    judge(&users, &story);
}

/// The fleets, each through another node.
async fn create(users: &Arc<Users>) {
    for name in FLEETS {
        let created = eventually(Duration::from_secs(30), || async {
            let node = users.chance.below(nodes::NODES);
            let route = ("POST", nodes::Api::Management, "/schedulers");
            let outcome = users.nodes.call(node, route, Some(fleet(name, 6))).await;
            matches!(outcome.answer, Some((200 | 409, _)))
        });
        assert!(created.await, "{name} cannot be created");
    }
    for name in FLEETS {
        let path = format!("/schedulers/{name}/rooms");
        let there = eventually(Duration::from_secs(30), || async {
            let answer = users.get(&path).await;
            answer.is_some_and(|(_, body)| body["rooms"].as_array().is_some_and(|r| r.len() == 6))
        });
        assert!(there.await, "{name} has no rooms");
    }
}

fn judge(users: &Users, story: &Story) {
    let mut wrong = users.told().wrong.clone();
    wrong.extend(users.seen().wrong.iter().cloned());
    let mut sorted = story.taken_over.clone();
    sorted.sort();
    let limit = Duration::from_millis(number("FAULTS_TAKEOVER_MILLIS").unwrap_or(TAKEOVER_MILLIS));
    let took = proof::percentile(&sorted, 0.99);
    if took > limit {
        wrong.push(format!("take-over p99 {took:?}, more than {limit:?}"));
    }
    if sorted.is_empty() {
        wrong.push("no scheduler was taken over".into());
    }
    for node in &users.nodes.all {
        println!("log: {}", node.keep_log().display());
    }
    if !wrong.is_empty() {
        panic!("{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}
