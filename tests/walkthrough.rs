//! Runs the README's walk-through unchanged.

mod support;

use std::process::Command;
use support::Home;

/// The fenced `sh` blocks between two headings.
fn blocks(readme: &str) -> Vec<String> {
    let begin = readme.find("## Walk-through").expect("the walk-through");
    let section = &readme[begin..];
    let end = section[3..]
        .find("\n## ")
        .map_or(section.len(), |at| at + 3);
    section[..end]
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a block ends").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_of_the_readme_works_word_for_word() {
    let home = Home::new();
    let maestro = home.start();
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = blocks(&readme);
    assert!(blocks.len() >= 7, "found {} blocks", blocks.len());
    // One shell for all of it, as a person has one terminal.
    let script = format!("set -e\n{}", blocks.join("\n"));
    let mut shell = Command::new("timeout");
    shell.args(["120", "sh", "-c", &script]);
    shell
        .env("MANAGEMENT", &maestro.management)
        .env("ROOMS", &maestro.rooms);
    let output = tokio::task::spawn_blocking(move || shell.output())
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "\"state\":\"creating\"",
        "\"roomsReady\":2",
        "\"roomId\":",
        "operationId",
    ] {
        assert!(
            said.replace(": ", ":").contains(expected),
            "no {expected} in {said}"
        );
    }
}
