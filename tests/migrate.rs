//! `maestro migrate` on a real Postgres (contract 1.1, 8.1).

mod support;

use maestro_testkit::servers::postgres::{TestDatabase, database};
use std::process::{Child, Command, Output, Stdio};
use support::BINARY;

const COMPLETED: &str = "Database migration completed";
const UP_TO_DATE: &str = "database schema already up to date";
const URL: &str = "MAESTRO_ADAPTERS_SCHEDULERSTORAGE_POSTGRES_URL";

fn command() -> Command {
    let mut command = Command::new(BINARY);
    command.arg("migrate").env_remove(URL);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command
}

fn start(database: &TestDatabase) -> Child {
    let mut command = command();
    command.env(URL, database.url());
    // As in existing deployments: accepted, and without effect.
    command.env(
        "MAESTRO_MIGRATION_PATH",
        "file://internal/service/migrations",
    );
    command.spawn().expect("the binary starts")
}

fn migrate(database: &TestDatabase) -> (Option<i32>, String) {
    end(start(database).wait_with_output().expect("it ends"))
}

fn end(output: Output) -> (Option<i32>, String) {
    let both = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8(both).expect("a text"),
    )
}

#[tokio::test]
async fn a_database_is_migrated_once() {
    let Some(database) = database().await else {
        return;
    };
    let (status, said) = migrate(&database);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(COMPLETED), "{said}");
    assert_eq!(database.ask("TABLE schema_migrations"), ["7|f"]);
    let (status, said) = migrate(&database);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains(UP_TO_DATE) && !said.contains(COMPLETED),
        "{said}"
    );
}

#[tokio::test]
async fn the_url_comes_from_a_file_or_a_flag_too() {
    let Some(database) = database().await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("config.yaml");
    // The keys of Redis and Kubernetes that are beside it in a deployment do not matter here.
    let settings = format!(
        "adapters:\n  schedulerStorage: {{postgres: {{url: '{}'}}}}\n  roomStorage: {{redis: {{url: 'redis://r:6379/0'}}}}\n  \
         runtime: {{kubernetes: {{inCluster: true}}}}\n",
        database.url()
    );
    std::fs::write(&file, settings).expect("written");
    let by_file = command().arg("-c").arg(&file).output().expect("it starts");
    let (status, said) = end(by_file);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(COMPLETED), "{said}");
    let mut by_flag = command();
    by_flag.args(["-l", "production", "--postgres-url", database.url()]);
    let (status, said) = end(by_flag.output().expect("it starts"));
    assert_eq!(status, Some(0), "{said}");
    let last = said.lines().last().expect("a line");
    let record: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(record["message"], UP_TO_DATE);
}

#[tokio::test]
async fn a_dirty_database_is_refused() {
    let Some(database) = database().await else {
        return;
    };
    migrate(&database);
    database.ask("UPDATE schema_migrations SET version = 5, dirty = true");
    let (status, said) = migrate(&database);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("version = 4, dirty = false"), "{said}");
    database.ask("UPDATE schema_migrations SET version = 4, dirty = false");
    let (status, said) = migrate(&database);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(COMPLETED), "{said}");
}

#[tokio::test]
async fn two_at_once_do_not_disturb_each_other() {
    let Some(database) = database().await else {
        return;
    };
    let both = [start(&database), start(&database)];
    let ends = both.map(|child| end(child.wait_with_output().expect("it ends")));
    let did = |phrase| {
        ends.iter()
            .filter(|(_, said)| said.contains(phrase))
            .count()
    };
    assert_eq!((did(COMPLETED), did(UP_TO_DATE)), (1, 1), "{ends:?}");
    assert!(
        ends.iter().all(|(status, _)| *status == Some(0)),
        "{ends:?}"
    );
}

#[test]
fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    let mut command = command();
    command.env(URL, "postgres://u:hidden@127.0.0.1:1/m?sslmode=disable");
    let (status, said) = end(command.output().expect("it starts"));
    assert_eq!(status, Some(1));
    assert!(said.contains("127.0.0.1:1, database m"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
}
