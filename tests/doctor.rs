//! `maestro doctor` on real stores with a recorded installation of the original, and the page about migrating.

#[path = "takeover/recording.rs"]
mod recording;
mod support;

use maestro_testkit::servers::postgres::{self, TestDatabase};
use maestro_testkit::servers::redis::RedisServer;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use support::stores::store_variables;
use support::{BINARY, Home, eventually, seconds};

const PAGE: &str = include_str!("../docs/migrating-from-go.md");

struct Stores {
    postgres: TestDatabase,
    redis: RedisServer,
}

impl Stores {
    async fn start() -> Option<Self> {
        let (postgres, redis) = (postgres::database().await?, RedisServer::start(&[]).await?);
        Some(Self { postgres, redis })
    }

    /// What the original had left.
    fn fill(&self) {
        recording::fill(&self.postgres, &self.redis);
    }

    /// All that both have. A row that was written again as it was differs by its transaction.
    fn dump(&self) -> Vec<String> {
        let tables = self
            .postgres
            .ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
        let mut all = Vec::new();
        for table in tables {
            let rows = format!("SELECT xmin, t FROM {table} t ORDER BY t::text");
            all.extend(self.postgres.ask(&rows));
        }
        // By their values, sorted: a read may change how Redis keeps them.
        let keys = "local all = redis.call('KEYS', '*') table.sort(all)
            local read = {
              string = {'GET'}, hash = {'HGETALL'}, list = {'LRANGE', 0, -1}, zset = {'ZRANGE', 0, -1, 'WITHSCORES'}
            }
            for i, key in ipairs(all) do
              local how = read[redis.call('TYPE', key).ok]
              local value = redis.call(how[1], key, unpack(how, 2))
              if type(value) == 'table' then table.sort(value) value = table.concat(value, ' ') end
              all[i] = key .. ' ' .. value .. ' ' .. tostring(redis.call('PTTL', key) > 0)
            end
            return all";
        all.extend(self.redis.texts(&["EVAL", keys, "0"]));
        all
    }

    fn environment(&self) -> Vec<(String, String)> {
        store_variables(self.postgres.url(), &self.redis.url())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment());
        command
    }

    fn maestro(&self, args: &[&str]) -> Output {
        let output = self.command(BINARY).args(args).output();
        output.expect("the binary starts")
    }
}

#[tokio::test]
async fn drift_is_reported_and_mended_and_the_exit_status_says_so() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    assert!(stores.maestro(&["migrate"]).status.success());
    let fits = stores.maestro(&["doctor"]);
    assert_eq!(fits.status.code(), Some(0), "{fits:?}");
    stores.fill();
    stores
        .redis
        .ask(&["HSET", "scheduler:lobby:rooms:\x1b[31m", "version", "v1"]);
    let looked = stores.maestro(&["doctor"]);
    assert_eq!(looked.status.code(), Some(2), "{looked:?}");
    let text = String::from_utf8(looked.stdout).expect("a text");
    assert!(
        text.contains("lobby-ghost is no room") && text.contains("--repair would"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text:?}");
    let mended = stores.maestro(&["doctor", "--repair", "--json"]);
    assert_eq!(mended.status.code(), Some(0), "{mended:?}");
    let report: Value = serde_json::from_slice(&mended.stdout).expect("JSON");
    assert_eq!(report["findings"][0]["outcome"], "mended", "{report}");
    assert_eq!(stores.maestro(&["doctor"]).status.code(), Some(0));
}

/// The findings of a report: kind, scheduler, who mends it, and what became of it.
fn findings(output: &Output) -> Vec<[String; 4]> {
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = report["findings"].as_array().expect("a list").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let all = all.map(|one| {
        let remedy = one["remedy"].as_object().expect("a remedy");
        let (who, _) = remedy.iter().next().expect("one");
        let outcome = match &one["outcome"] {
            Value::String(outcome) => outcome.clone(),
            refused => refused.to_string(),
        };
        [
            text(&one["kind"]),
            text(&one["scheduler"]),
            who.clone(),
            outcome,
        ]
    });
    all.collect()
}

/// Puts one drift of each kind into the recording that needs no node to arise.
fn disturb(stores: &Stores) {
    let redis = |words: &[&str]| drop(stores.redis.ask(words));
    let postgres = |sql: &str| drop(stores.postgres.ask(sql));
    postgres("UPDATE schedulers SET state = 'banana' WHERE name = 'lobby'");
    postgres(
        "INSERT INTO scheduler_versions (name, version, yaml) SELECT name, 'latest', yaml FROM schedulers
         WHERE name = 'lobby'",
    );
    postgres(
        "INSERT INTO schedulers (name, game, yaml, state, state_last_changed_at, version)
         SELECT 'Arena EU', game, yaml, state, state_last_changed_at, version FROM schedulers WHERE name = 'lobby'",
    );
    redis(&["HSET", "scheduler:lobby:rooms:late", "ping_status", "1"]);
    let id = "00000000-0000-4000-8000-0000000000a1";
    let key = format!("operations:lobby:{id}");
    let operation: [&str; 16] = [
        "HSET",
        &key,
        "id",
        id,
        "schedulerName",
        "lobby",
        "status",
        "0",
        "definitionName",
        "add_rooms",
        "createdAt",
        "2026-11-27T23:30:09.969880138Z",
        "definitionContents",
        r#"{"amount":1}"#,
        "executionHistory",
        "null",
    ];
    redis(&operation);
    redis(&["HSET", "maestro:fence", "newborn", "7:9"]);
    let missing = "00000000-0000-4000-8000-0000000000a2";
    redis(&["RPUSH", "pending_operations:ranges", missing, "no-uuid"]);
    for (set, score) in [("status", "2"), ("ping", "2"), ("occupancy", "0")] {
        redis(&["ZADD", &format!("scheduler:gone:{set}"), score, "r-1"]);
    }
    redis(&["HSET", "scheduler:gone:rooms:r-1", "version", "v1.0.0"]);
    // Neither can be repaired, though each has remains: one is behind, the other's fence cannot be read.
    postgres("INSERT INTO maestro_owner (scheduler, epoch, seq) VALUES ('raid', 3, 9)");
    redis(&["HSET", "scheduler:raid:rooms:late", "ping_status", "1"]);
    redis(&["HSET", "maestro:fence", "arena-eu", "rubbish"]);
    redis(&["HSET", "scheduler:arena-eu:rooms:late", "ping_status", "1"]);
    // A node that was killed, in the middle of a change.
    let session = "00000000-0000-4000-8000-0000000000b1";
    postgres(&format!(
        "INSERT INTO maestro_node (session, name, address, hosts, runtime_domain, version, expires_at)
         VALUES ('{session}', 'lost', '127.0.0.1:1', true, 'there', '0.1.0', now() - interval '1 minute');
         INSERT INTO maestro_owner (scheduler, session, epoch, seq) VALUES ('empty', '{session}', 2, 4)"
    ));
    postgres("INSERT INTO maestro_outbox (scheduler, seq, payload) VALUES ('empty', 4, '{}')");
    // Another program's document and key.
    for name in ["torn-row", "torn-key"] {
        postgres(&format!(
            "INSERT INTO schedulers (name, game, yaml, state, state_last_changed_at, version)
             SELECT '{name}', game, yaml, state, state_last_changed_at, version FROM schedulers WHERE name = 'lobby'"
        ));
    }
    postgres("UPDATE schedulers SET yaml = '{' WHERE name = 'torn-row'");
    redis(&["SET", "scheduler:torn-key:status", "1"]);
}

#[tokio::test]
async fn each_kind_of_drift_is_mended_if_and_only_if_the_report_says_so() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    assert!(stores.maestro(&["migrate"]).status.success());
    stores.fill();
    disturb(&stores);
    let before = stores.dump();
    let told = stores.maestro(&["doctor", "--json"]);
    let after = stores.dump();
    assert!(before.len() > 50, "{before:?}");
    assert_eq!(after, before, "a report changes nothing");
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert_eq!(String::from_utf8_lossy(&told.stderr), "");
    let told = findings(&told);
    let kinds: BTreeSet<&str> = told.iter().map(|[kind, ..]| kind.as_str()).collect();
    let expected = [
        "ahead",
        "bad-fence",
        "behind",
        "dead-owner",
        "foreign-id",
        "foreign-state",
        "no-active-version",
        "no-operation",
        "no-queue",
        "no-scheduler",
        "odd-name",
        "odd-version",
        "outbox",
        "remains",
        "unreadable",
    ];
    assert_eq!(kinds, BTreeSet::from(expected));
    for [kind, scheduler, who, _] in &told {
        if ["raid", "arena-eu"].contains(&scheduler.as_str()) {
            assert_ne!(who, "repair", "{kind} of {scheduler}");
        }
    }

    let mended = findings(&stores.maestro(&["doctor", "--repair", "--json"]));
    assert_eq!(mended.len(), told.len());
    for [kind, scheduler, who, outcome] in &mended {
        let expected = if who == "repair" { "mended" } else { "left" };
        assert_eq!(outcome, expected, "{kind} of {scheduler}");
    }
    let before = stores.dump();
    let left = findings(&stores.maestro(&["doctor", "--json"]));
    let not_mended = told.iter().filter(|[_, _, who, _]| who != "repair");
    assert_eq!(left, not_mended.cloned().collect::<Vec<_>>());
    let state = stores
        .postgres
        .ask("SELECT state FROM schedulers WHERE name = 'lobby'");
    assert_eq!(state, ["in-sync"]);
    // What is left for people or owners is left as it is, as often as it is asked for.
    let again = findings(&stores.maestro(&["doctor", "--repair", "--json"]));
    assert_eq!(again, left);
    assert_eq!(stores.dump(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_run_are_compared_with_the_stored_ones() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    assert!(stores.maestro(&["migrate"]).status.success());
    let home = Home::new();
    let environment = stores.environment();
    let environment: Vec<_> = environment
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let node = home.start_with(&environment);
    let created = node.post("/schedulers", &home.mute_fleet("north", 2)).await;
    assert_eq!(created.0, 200, "{}", created.1);
    let are_up = || async {
        let pods = stores.redis.texts(&["HVALS", "scheduler:north:podMap"]);
        home.pids("north").len() == 2
            && pods.iter().filter(|pod| pod.contains("\"type\":2")).count() == 2
    };
    assert!(eventually(seconds(30), are_up).await, "{}", node.logged());
    let doctor = || {
        let mut command = stores.command(BINARY);
        command
            .env("MAESTRO_STORE_DATADIR", home.path())
            .args(["doctor", "--json"]);
        command.output().expect("the binary starts")
    };
    let fits = doctor();
    assert_eq!(fits.status.code(), Some(0), "{fits:?}");

    // A room that Redis forgets while its process runs, and one that never had a process.
    let (room, _) = home.pids("north").remove(0);
    let forget = |set: &str| {
        drop(
            stores
                .redis
                .ask(&["ZREM", &format!("scheduler:north:{set}"), &room]),
        )
    };
    ["status", "ping", "occupancy"].into_iter().for_each(forget);
    stores
        .redis
        .ask(&["DEL", &format!("scheduler:north:rooms:{room}")]);
    let pod = stores
        .redis
        .texts(&["HGET", "scheduler:north:podMap", &room])
        .concat();
    stores.redis.ask(&["HDEL", "scheduler:north:podMap", &room]);
    stores
        .redis
        .ask(&["HSET", "scheduler:north:podMap", "invented", &pod]);
    stores.redis.ask(&[
        "HSET",
        "scheduler:north:rooms:invented",
        "version",
        "v1.0.0",
    ]);
    for (set, score) in [("status", "2"), ("ping", "2"), ("occupancy", "0")] {
        stores
            .redis
            .ask(&["ZADD", &format!("scheduler:north:{set}"), score, "invented"]);
    }
    let drift = doctor();
    assert_eq!(drift.status.code(), Some(2), "{drift:?}");
    let told = findings(&drift);
    let kinds: Vec<&str> = told.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert_eq!(kinds, ["not-running", "not-stored"], "{drift:?}");
    let text = String::from_utf8_lossy(&drift.stdout);
    assert!(
        text.contains("room invented is stored") && text.contains(&format!("room {room} runs")),
        "{text}"
    );
    assert!(told.iter().all(|[_, _, who, _]| who == "owner"), "{told:?}");
}

#[tokio::test]
async fn the_embedded_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(BINARY);
    let output = command.arg("doctor").current_dir(folder.path()).output();
    let output = output.expect("the binary starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the store is embedded"), "{said}");
}

#[tokio::test]
async fn the_commands_about_migrating_work() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    assert!(stores.maestro(&["migrate"]).status.success());
    stores.fill();
    let mut script = vec!["set -e"];
    let mut inside = false;
    for line in PAGE.lines().map(str::trim) {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => script.push(line),
            _ => {}
        }
    }
    assert!(script.len() > 5, "{script:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let binaries = Path::new(BINARY).parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = stores.command("timeout");
    shell.args(["60", "sh", "-c", &script.join("\n")]);
    shell.current_dir(folder.path());
    let output = shell.env("PATH", format!("{binaries}:{path}")).output();
    let output = output.expect("a shell");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("6 schedulers are handed back"), "{said}");
}
