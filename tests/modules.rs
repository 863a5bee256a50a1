//! Modules and `migrate`, as processes of their own.

mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use support::{Home, run};

fn said(output: &Output) -> String {
    [output.stdout.clone(), output.stderr.clone()]
        .map(|bytes| String::from_utf8(bytes).expect("a text"))
        .concat()
}

fn migrate(folder: &Path, arguments: &[&str]) -> Output {
    let folder = folder.to_str().expect("a path");
    run(&[&["migrate", "--data-dir", folder], arguments].concat())
}

#[test]
fn a_module_that_needs_a_shared_store_says_what_to_run_instead() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    for module in [
        "management-api",
        "rooms-api",
        "worker",
        "runtime-watcher",
        "metrics-reporter",
        "k8s-manager",
    ] {
        let data = data.to_str().expect("a path");
        let output = run(&["start", module, "--data-dir", data]);
        assert_eq!(output.status.code(), Some(1), "{module}");
        let said = said(&output);
        for part in [module, "belongs to one process", "maestro start all"] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
    assert!(!data.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_what_there_was_to_do() {
    let up_to_date = "database schema already up to date";
    let home = Home::new();
    let nothing = migrate(home.path(), &[]);
    assert!(nothing.status.success());
    assert!(said(&nothing).contains(up_to_date), "{}", said(&nothing));
    assert!(!home.path().join("maestro.redb").exists());

    let maestro = home.start();
    let busy = migrate(home.path(), &[]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(said(&busy).contains("in use by"), "{}", said(&busy));
    assert!(maestro.stop().success());

    let done = migrate(home.path(), &["-l", "production"]);
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    let last = text.lines().last().expect("a line");
    let record: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(record["message"], up_to_date);
    assert_eq!(record["format"], 5);

    std::fs::write(home.path().join("maestro.redb"), "a love letter").expect("written");
    let foreign = migrate(home.path(), &[]);
    assert_eq!(foreign.status.code(), Some(1));
    assert!(said(&foreign).contains("was not written by Maestro"));
}

/// The `maestro.redb` of a server with local processes, and its API's answer about the rooms.
const FORMAT_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/store/tests/formats/2.redb");
const ROOMS_2: &str = include_str!("../store/tests/formats/2-rooms.json");

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_former_format_is_carried_over() {
    let home = Home::new();
    std::fs::copy(FORMAT_2, home.path().join("maestro.redb")).expect("copied");
    let done = migrate(home.path(), &["-l", "production"]);
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    let last = text.lines().last().expect("a line");
    let record: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(record["message"], "Database migration completed");
    assert_eq!((&record["from"], &record["to"]), (&json!(2), &json!(5)));

    // The rooms do not run here, which has no effect while the server is paused.
    let maestro = home.start_with(&[("MAESTRO_WORKERS_PAUSED", "true")]);
    let before: Value = serde_json::from_str(ROOMS_2).expect("JSON");
    for (scheduler, rooms) in before.as_object().expect("by scheduler") {
        for before in rooms.as_array().expect("a list") {
            let id = before["id"].as_str().expect("an id");
            let path = format!("/schedulers/{scheduler}/rooms/{id}");
            let (status, answer) = maestro.get(&path).await;
            assert_eq!(status, 200, "{path}: {answer}");
            for (name, value) in before.as_object().expect("fields") {
                assert_eq!(&answer["room"][name], value, "{name} of {path}");
            }
        }
    }
    assert!(maestro.stop().success());
}
