//! `maestro doctor` on real stores with a recorded installation of the original, and the page about migrating.

#[path = "takeover/recording.rs"]
mod recording;
mod support;

use maestro_testkit::servers::postgres::{self, TestDatabase};
use maestro_testkit::servers::redis::RedisServer;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use support::BINARY;

const PAGE: &str = include_str!("../docs/migrating-from-go.md");
const ROLES: [&str; 6] = [
    "SCHEDULERCACHE",
    "OPERATIONSTORAGE",
    "OPERATIONFLOW",
    "OPERATIONLEASESTORAGE",
    "ROOMSTORAGE",
    "INSTANCESTORAGE",
];

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

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env(
            "MAESTRO_ADAPTERS_SCHEDULERSTORAGE_POSTGRES_URL",
            self.postgres.url(),
        );
        for role in ROLES {
            let key = format!("MAESTRO_ADAPTERS_{role}_REDIS_URL");
            command.env(key, self.redis.url());
        }
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
