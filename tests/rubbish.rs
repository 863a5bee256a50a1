//! Rubbish under the keys and in the rows of some schedulers: a node starts, says what is wrong with each of them, and
//! serves all others; `maestro doctor` says the same. Real stores.

mod support;

use maestro_testkit::servers::redis::Reply;
use serde_json::{Value, json};
use std::process::{Command, Output};
use support::stores::Stores;
use support::{BINARY, Home, Maestro, eventually, seconds};

/// As the original writes it; two rooms.
const DOCUMENT: &str = include_str!("takeover/odd/document.yaml");

/// Their rubbish is passed over.
const SERVED: [&str; 8] = [
    "well",
    "bytes",
    "half-written",
    "huge-row",
    "huge-values",
    "last-second",
    "null-time",
    "scores",
];

/// These cannot be read, and what the report says of each.
const UNREADABLE: [(&str, &str); 12] = [
    ("aliases", "correct the column yaml"),
    (
        "ancient",
        "correct the column created_at of scheduler_versions",
    ),
    ("decision", "correct the column record of maestro_operator"),
    ("deep", "correct the column yaml"),
    ("endless", "correct the column created_at of schedulers"),
    ("fence-huge", "HDEL maestro:fence fence-huge"),
    ("fence-text", "HDEL maestro:fence fence-text"),
    ("live-state", "correct the column record of maestro_version"),
    ("next-era", "correct the column created_at of schedulers"),
    ("outbox", "the outbox has a batch"),
    ("runtime", "correct the column record of maestro_runtime"),
    ("types", "rename"),
];

fn scheduler(stores: &Stores, name: &str) {
    stores.postgres.ask(&format!(
        "INSERT INTO schedulers (name, game, yaml, state, state_last_changed_at, version)
         VALUES ('{name}', 'game', '{DOCUMENT}', 'in-sync', 1, 'v1.0.0');
         INSERT INTO scheduler_versions (name, version, yaml) VALUES ('{name}', 'v1.0.0', '{DOCUMENT}')"
    ));
}

fn redis(stores: &Stores, words: &[&str]) {
    let reply = stores.redis.ask(words);
    assert!(!matches!(reply, Reply::Error(_)), "{words:?}: {reply:?}");
}

/// For what no text can say.
fn script(stores: &Stores, lua: &str) {
    redis(stores, &["EVAL", lua, "0"]);
}

fn spoil_rows(stores: &Stores) {
    let rows = |sql: &str| drop(stores.postgres.ask(sql));
    let set = |name: &str, table: &str, what: &str| {
        rows(&format!("UPDATE {table} SET {what} WHERE name = '{name}'"));
    };
    set("endless", "schedulers", "created_at = 'infinity'");
    set("next-era", "schedulers", "created_at = '294000-01-01'");
    set("ancient", "scheduler_versions", "created_at = '-infinity'");
    set(
        "null-time",
        "scheduler_versions",
        "created_at = NULL, rollback_version = NULL",
    );
    set(
        "null-time",
        "schedulers",
        "updated_at = NULL, version = NULL",
    );
    set("deep", "schedulers", "yaml = repeat('[', 1000000)");
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                  g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nLabels: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    set("aliases", "schedulers", &format!("yaml = '{laughs}'"));
    let long = "yaml = replace(yaml, 'Annotations: null', 'Annotations: {note: ' || repeat('x', 4194304) || '}')";
    set("huge-row", "schedulers", long);
    rows("INSERT INTO maestro_operator (scheduler, record) VALUES ('decision', '[7]')");
    rows(
        "INSERT INTO maestro_version (scheduler, version, record) VALUES ('live-state', 'v1.0.0', '\"started\"')",
    );
    rows("INSERT INTO maestro_runtime (scheduler, record) VALUES ('runtime', '{\"made_at\": 7}')");
    rows("INSERT INTO maestro_outbox (scheduler, seq, payload) VALUES ('outbox', 9, '\\x00ff')");
    rows("INSERT INTO maestro_owner (scheduler, epoch, seq) VALUES ('outbox', 1, 9)");
}

/// A room as the original writes it, but for these.
fn room(stores: &Stores, fleet: &str, scores: [&str; 3], created_at: &str) {
    for (set, score) in ["status", "ping", "occupancy"].iter().zip(scores) {
        redis(
            stores,
            &["ZADD", &format!("scheduler:{fleet}:{set}"), score, "odd"],
        );
    }
    let key = format!("scheduler:{fleet}:rooms:odd");
    let words = [
        "version",
        "v1.0.0",
        "metadata",
        "{}",
        "ping_status",
        "1",
        "created_at",
        created_at,
    ];
    redis(stores, &[&["HSET", &key][..], &words].concat());
}

const OPERATION: &str = "00000000-0000-4000-8000-0000000000a1";

fn spoil_keys(stores: &Stores) {
    room(
        stores,
        "scores",
        ["1e300", "-1e18", "1e300"],
        "99999999999999999999",
    );
    // The last second that a time can have.
    room(
        stores,
        "last-second",
        ["2", "253402207200", "0"],
        "253402207200",
    );
    let key = "scheduler:last-second:rooms:odd";
    redis(stores, &["HSET", key, "allocated_at", "-377705023201"]);
    script(
        stores,
        r"for _, set in ipairs({'status', 'ping', 'occupancy'}) do
            redis.call('ZADD', 'scheduler:bytes:' .. set, 2, '\255\254room')
          end
          redis.call('HSET', 'scheduler:bytes:rooms:\255\254room', 'version', '\255')
          redis.call('HSET', 'scheduler:bytes:podMap', '\192\128', '\255')
          redis.call('RPUSH', 'pending_operations:bytes', '\255\0\254')
          redis.call('ZADD', 'operations:bytes:lists:active', 7, '\255')
          redis.call('ZADD', 'operations:bytes:lists:history', 7, '\255')
          redis.call('SET', 'scheduler:\255:status', 'x')
          redis.call('HSET', 'maestro:fence', '\255\0', '\255')
          redis.call('RPUSH', 'pending_operations:\255', '\255')
          return 'OK'",
    );
    room(stores, "huge-values", ["2", "1", "0"], "1");
    script(
        stores,
        r"local long = string.rep('x', 10485760)
          redis.call('HSET', 'scheduler:huge-values:podMap', 'odd', long)
          redis.call('HSET', 'scheduler:huge-values:podMap', string.rep('y', 1048576), long)
          redis.call('ZADD', 'scheduler:huge-values:status', 2, string.rep('z', 1048576))
          redis.call('RPUSH', 'pending_operations:huge-values', string.rep('w', 1048576))
          redis.call('HSET', 'maestro:fence', string.rep('n', 1048576), '1:1')
          redis.call('RPUSH', 'pending_operations:' .. string.rep('n', 1048576), 'x')
          return 'OK'",
    );
    let key = format!("operations:huge-values:{OPERATION}");
    script(
        stores,
        &format!(
            "redis.call('HSET', '{key}', 'id', '{OPERATION}', 'status', '0' .. string.rep('0', 1048576) .. 'x')
             redis.call('RPUSH', 'pending_operations:huge-values', '{OPERATION}')
             return 'OK'"
        ),
    );
    // Keys of which only the first write was made.
    redis(
        stores,
        &["ZADD", "scheduler:half-written:status", "2", "r-1"],
    );
    redis(
        stores,
        &["HSET", "scheduler:half-written:rooms:r-2", "metadata", "{"],
    );
    redis(
        stores,
        &["HSET", "scheduler:half-written:podMap", "r-3", "{\"id\":"],
    );
    redis(
        stores,
        &[
            "ZADD",
            "operations:half-written:lists:active",
            "9e18",
            OPERATION,
        ],
    );
    redis(
        stores,
        &[
            "ZADD",
            "operations:half-written:operationsLease",
            "inf",
            OPERATION,
        ],
    );
    redis(
        stores,
        &[
            "HSET",
            "maestro:journal:half-written",
            OPERATION,
            "{\"status_at\":",
        ],
    );
    let hash = format!("operations:half-written:{OPERATION}");
    redis(
        stores,
        &["HSET", &hash, "status", "1", "definitionName", "add_rooms"],
    );
    redis(stores, &["SET", "scheduler:types:status", "x"]);
    redis(
        stores,
        &[
            "HSET",
            "maestro:fence",
            "fence-huge",
            "1:18446744073709551615",
        ],
    );
    redis(stores, &["HSET", "maestro:fence", "fence-text", "rubbish"]);
}

/// What is read. A slow machine needs longer for a huge document than a store may take.
async fn read(node: &Maestro, path: &str) -> Value {
    let mut last = (0, Value::Null);
    let came = until(async || {
        last = node.get(path).await;
        last.0 == 200
    });
    assert!(came.await, "{path}: {last:?}");
    last.1
}

/// Rooms are made, one is given, and an edit is carried out.
async fn served(node: &Maestro, fleet: &str) {
    let path = format!("/schedulers/{fleet}/rooms");
    let pinged = || async {
        let (_, listed) = node.get(&path).await;
        let rooms = listed["rooms"].as_array().cloned().unwrap_or_default();
        let made = rooms.iter().filter(|room| room["host"].is_string());
        let mut pinged = 0;
        for room in made {
            let body = json!({"status": "ready", "timestamp": 1});
            let id = room["id"].as_str().expect("an id");
            pinged += u32::from(node.ping(fleet, id, &body).await.1["success"] == true);
        }
        pinged >= 2
    };
    assert!(
        eventually(seconds(40), pinged).await,
        "{fleet}: {:?}\n{}",
        node.get(&path).await,
        logged(node)
    );
    let mut told = (0, Value::Null);
    let given = async || {
        told = node.allocate(fleet).await;
        told.0 == 200
    };
    assert!(until(given).await, "{fleet}: {told:?}\n{}", logged(node));
    let edited = node
        .patch(&format!("/schedulers/{fleet}"), &json!({"maxSurge": "7"}))
        .await;
    // A huge document is stored late where the machine is slow; the answer names its operation then.
    let id = match edited.0 {
        504 => {
            let text = edited.1["message"].as_str().expect("a message");
            let mut words = text.split(' ').skip_while(|word| *word != "operation");
            words.nth(1).expect("an operation").to_owned()
        }
        _ => Maestro::id(&edited),
    };
    let ended = node.ended(fleet, &id).await;
    assert_eq!(ended["status"], "finished", "{fleet}: {ended}");
}

async fn until(mut level: impl AsyncFnMut() -> bool) -> bool {
    for _ in 0..600 {
        if level().await {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    false
}

/// The log, without what is too long to be read.
fn logged(node: &Maestro) -> String {
    let log = node.logged();
    let lines = log
        .lines()
        .map(|line| line.chars().take(600).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

fn doctor(stores: &Stores, args: &[&str]) -> Output {
    let mut doctor = Command::new(BINARY);
    doctor.arg("doctor").args(args).envs(stores.environment());
    doctor.output().expect("the binary starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_stops_no_other_scheduler() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    for name in SERVED.iter().chain(UNREADABLE.iter().map(|(name, _)| name)) {
        scheduler(&stores, name);
    }
    spoil_rows(&stores);
    spoil_keys(&stores);
    let report = doctor(&stores, &["--json"]);
    assert_eq!(
        report.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&report.stderr)
    );
    assert!(
        report.stdout.len() < 100_000,
        "{} bytes",
        report.stdout.len()
    );
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    for (name, says) in UNREADABLE {
        let told = |one: &&Value| one["scheduler"] == name;
        let of_one: Vec<String> = findings.iter().filter(told).map(Value::to_string).collect();
        let of_one = of_one.join("\n");
        // Only a node that has the batch to write can say that it cannot be read.
        let says = if name == "outbox" {
            "not yet in Redis"
        } else {
            says
        };
        assert!(of_one.contains(says), "{name}: {of_one}");
    }

    let home = Home::new();
    let node = stores.module("all", &home, &[]);
    for fleet in SERVED {
        served(&node, fleet).await;
    }
    for (name, says) in UNREADABLE {
        let is_said = || async {
            let log = node.logged();
            log.lines()
                .any(|line| line.contains(name) && line.contains(says))
        };
        assert!(
            eventually(seconds(20), is_said).await,
            "{name} {says}\n{}",
            logged(&node)
        );
        let (status, told) = node.get(&format!("/schedulers/{name}/rollout")).await;
        assert_eq!(status, 503, "{name}: {told}");
        assert!(told.to_string().contains(says), "{name}: {told}");
    }
    let listed = read(&node, "/schedulers").await;
    let names = listed["schedulers"].as_array().expect("a list").iter();
    let names: Vec<&str> = names.filter_map(|one| one["name"].as_str()).collect();
    for fleet in SERVED {
        assert!(names.contains(&fleet), "{fleet}: {names:?}");
        read(&node, &format!("/schedulers/{fleet}/versions")).await;
    }
    read(&node, "/schedulers/info").await;
    assert!(!node.logged().contains("panicked"), "{}", logged(&node));
    let longest = node.logged().lines().map(str::len).max();
    assert!(longest < Some(8_192), "{longest:?}");
    // A new scheduler is none of theirs.
    let created = node
        .post("/schedulers", &home.mute_fleet("newcomer", 2))
        .await;
    assert_eq!(created.0, 200, "{}", created.1);
    served(&node, "newcomer").await;
    assert!(node.stop().success());
}

/// Once what is named is mended, the scheduler is served, without a restart of the node.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_corrected_is_served_after_a_reload() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    for name in ["endless", "fence-text", "types", "decision"] {
        scheduler(&stores, name);
    }
    let rows = |sql: &str| drop(stores.postgres.ask(sql));
    rows("UPDATE schedulers SET created_at = 'infinity' WHERE name = 'endless'");
    rows("INSERT INTO maestro_operator (scheduler, record) VALUES ('decision', '[7]')");
    redis(&stores, &["SET", "scheduler:types:status", "x"]);
    redis(&stores, &["HSET", "maestro:fence", "fence-text", "rubbish"]);
    let home = Home::new();
    let node = stores.module("all", &home, &[]);
    rows("UPDATE schedulers SET created_at = now() WHERE name = 'endless'");
    rows("DELETE FROM maestro_operator WHERE scheduler = 'decision'");
    redis(&stores, &["RENAME", "scheduler:types:status", "kept"]);
    redis(&stores, &["HDEL", "maestro:fence", "fence-text"]);
    for name in ["endless", "fence-text", "types", "decision"] {
        let path = format!("/debug/actors/{name}/reload");
        let reloaded = || async { node.internal("POST", &path, None).await.0 == 200 };
        assert!(
            eventually(seconds(20), reloaded).await,
            "{name}: {:?}",
            node.internal("POST", &path, None).await
        );
        served(&node, name).await;
    }
}
