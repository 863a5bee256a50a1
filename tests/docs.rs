//! Runs the commands of the pages in `docs/` unchanged, after the beginning of the README's walk-through.

mod support;

use std::path::Path;
use std::process::Command;
use support::{BINARY, Home};

/// The fenced `sh` blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{page}: {e}"));
    let fenced = text.split("```sh\n").skip(1);
    fenced
        .map(|rest| rest.split("```").next().expect("a block ends").to_owned())
        .collect()
}

async fn run(page: &str) {
    let home = Home::new();
    let maestro = home.start();
    let readme = blocks("README.md");
    let beginning = |text: &str| {
        let block = readme.iter().find(|block| block.contains(text));
        block.unwrap_or_else(|| panic!("no {text}")).clone()
    };
    let mut script = vec![
        "set -e".to_owned(),
        // Background processes of a page end with it.
        "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT".to_owned(),
        beginning("--url \"$MANAGEMENT/schedulers\""),
        beginning("\"roomsReady\":2"),
    ];
    let own = blocks(page);
    // They are set in this environment, but not in a reader's shell.
    for variable in ["MANAGEMENT", "ROOMS", "INTERNAL", "GRPC", "DATA", "S"] {
        let uses = own.iter().any(|block| {
            let quoted = [
                format!("\"${variable}\""),
                format!("${variable}/"),
                format!("${variable}\""),
            ];
            quoted.iter().any(|use_of| block.contains(use_of.as_str()))
        });
        let sets = own.iter().any(|block| {
            block.contains(&format!("{variable}:=")) || block.contains(&format!("{variable}="))
        });
        let by_walk_through = variable == "MANAGEMENT" || variable == "ROOMS";
        assert!(
            !uses || sets || by_walk_through,
            "{page} does not set {variable}"
        );
    }
    assert!(own.len() >= 2, "{page} has {} blocks", own.len());
    script.extend(own);
    let binaries = Path::new(BINARY).parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("timeout");
    shell
        .args(["90", "sh", "-c", &script.join("\n")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", format!("{binaries}:{path}"))
        .env("MANAGEMENT", &maestro.management)
        .env("ROOMS", &maestro.rooms)
        .env("INTERNAL", &maestro.internal)
        .env("GRPC", &maestro.grpc)
        .env("DATA", home.path());
    let output = tokio::task::spawn_blocking(move || shell.output());
    let output = output.await.expect("it ran").expect("a shell");
    assert!(
        output.status.success(),
        "{page}:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_what_rooms_use_work() {
    run("docs/k8s-manager.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_operations_work() {
    run("docs/operations.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_configuration_work() {
    run("docs/configuration.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_rolling_updates_work() {
    run("docs/rolling-updates.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_autoscaling_work() {
    run("docs/autoscaling.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_the_process_runtime_work() {
    run("docs/process-runtime.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_matchmakers_work() {
    run("docs/writing-a-matchmaker.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_about_events_forwarding_work() {
    run("docs/events-forwarding.md").await;
}
