//! The commands of docs/cluster.md about backups, on real stores.

mod support;

use maestro_testkit::servers::redis::RedisServer;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use support::stores::Stores;
use support::{BINARY, Home, Maestro, eventually, seconds};

const PAGE: &str = include_str!("../docs/cluster.md");

/// The fenced `sh` blocks of a section.
fn blocks(heading: &str) -> Vec<String> {
    let begin = PAGE.find(heading).expect("the section");
    let section = &PAGE[begin..];
    let end = section[3..]
        .find("\n## ")
        .map_or(section.len(), |at| at + 3);
    let blocks = section[..end].split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().expect("it ends").to_owned())
        .collect()
}

/// Runs commands of the page in this folder.
fn run(script: &str, folder: &Path, variables: &[(String, String)]) {
    let binaries = Path::new(BINARY).parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("timeout");
    shell.args(["60", "sh", "-c", &format!("set -e\n{script}")]);
    shell.current_dir(folder).envs(variables.iter().cloned());
    let output = shell.env("PATH", format!("{binaries}:{path}")).output();
    let output = output.expect("a shell");
    assert!(output.status.success(), "{output:?}");
}

/// A server that the page's commands have started. It ends with the test.
struct Restarted<'a>(&'a RedisServer);

impl Drop for Restarted<'_> {
    fn drop(&mut self) {
        let _ = self.0.connection().ask(&["SHUTDOWN", "NOSAVE"]);
    }
}

async fn names(node: &Maestro) -> Vec<String> {
    let (_, listed) = node.get("/schedulers").await;
    let all = listed["schedulers"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|one| one["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_both_stores_is_restored_as_the_page_says() {
    if Command::new("pg_dump").arg("--version").output().is_err() {
        support::skip("pg_dump is missing; type: sudo apt-get install postgresql-client");
        return;
    }
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (home, folder) = (Home::new(), tempfile::tempdir().expect("a folder"));
    let port = stores.redis.address().rsplit_once(':').expect("a port").1;
    let mut variables = stores.environment();
    variables.extend(
        [
            ("POSTGRES", stores.postgres.url()),
            ("REDIS", &stores.redis.url()),
            ("REDIS_DIR", &stores.redis.folder().display().to_string()),
            ("REDIS_PORT", port),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let commands = blocks("## Backup and restore");
    let [backup, restore] = &commands[..] else {
        panic!("two blocks: {commands:?}");
    };
    let node = stores.node(&home);
    let created = node.post("/schedulers", &home.mute_fleet("north", 2)).await;
    assert_eq!(created.0, 200, "{}", created.1);
    node.until_info("north", "in sync", |info| info["state"] == "in-sync")
        .await;
    run(backup, folder.path(), &variables);
    let created = node.post("/schedulers", &home.mute_fleet("later", 1)).await;
    assert_eq!(created.0, 200, "{}", created.1);
    assert!(node.stop().success());

    let both = format!(
        "{}\n{restore}",
        backup.lines().next().expect("its defaults")
    );
    run(&both, folder.path(), &variables);
    let _redis = Restarted(&stores.redis);
    let node = stores.node(&home);
    assert_eq!(names(&node).await, ["north"]);
    let edited = node
        .patch("/schedulers/north", &json!({"roomsReplicas": 3}))
        .await;
    assert_eq!(node.done("north", edited).await["status"], "finished");
    let three = || async {
        let (_, rooms) = node.get("/schedulers/north/rooms").await;
        rooms["rooms"].as_array().map(Vec::len) == Some(3)
    };
    assert!(eventually(seconds(20), three).await, "{}", node.logged());
    assert!(node.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn schedulers_move_from_the_embedded_file_to_a_cluster() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let (old_home, new_home) = (Home::new(), Home::new());
    let old = old_home.start_with(&[("MAESTRO_RUNTIME_TYPE", "simulated")]);
    let created = old
        .post("/schedulers", &old_home.mute_fleet("north", 1))
        .await;
    assert_eq!(created.0, 200, "{}", created.1);
    old.until_info("north", "in sync", |info| info["state"] == "in-sync")
        .await;
    let new = stores.node(&new_home);
    let folder = tempfile::tempdir().expect("a folder");
    let commands = blocks("## From the embedded file to a cluster").concat();
    let places = [("OLD", &old.grpc), ("NEW", &new.grpc)];
    let places = places.map(|(key, url)| (key.to_owned(), url.clone()));
    run(&commands, folder.path(), &places);
    new.until_info("north", "in sync", |info| info["state"] == "in-sync")
        .await;
    assert_eq!(names(&new).await, ["north"]);
}
