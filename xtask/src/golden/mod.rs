//! The recorded cases of the contract, played by their own probe against the built binary.
//!
//! The cases are no part of this repository: where they are not, that is said and is no failure.

mod server;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::setup::PYTHON;
use crate::shell;
use crate::summary::{Counts, Summary};
use server::Server;

/// Areas of the contract that exist so far. The others come with the components they speak of.
const AREAS: &[&str] = &[
    "address",
    "allocate",
    "cancel",
    "create",
    "delete",
    "events",
    "forward",
    "gateway",
    "internal",
    "newversion",
    "operations",
    "patch",
    "ping",
    "read",
    "switch",
];

/// Plays `areas`, or all that exist, against the binary as it is built.
///
/// # Errors
/// When the probe cannot be started.
pub fn run(areas: &[String], summary: &mut Summary) -> Result<()> {
    let Some(folder) = folder() else {
        summary.pass_over(
            "golden cases",
            "../shared/golden is not here (MAESTRO_GOLDEN names another folder)",
        );
        return Ok(());
    };
    if let Err(line) = PYTHON.meet() {
        summary.skip("golden cases", &format!("python3 is missing; type: {line}"));
        return Ok(());
    }
    let server = match Server::start() {
        Ok(server) => server,
        Err(error) => {
            summary.fail(format!("golden cases: {error:#}"));
            return Ok(());
        }
    };
    let mut total = Counts::default();
    for area in selected(areas) {
        match play(&folder, &server, area)? {
            Some(counts) => {
                total.passed += counts.passed;
                total.failed += counts.failed;
                total.skipped += counts.skipped;
            }
            None => summary.fail(format!(
                "golden cases: the probe of area {area} ended without a result"
            )),
        }
    }
    summary.add(total);
    println!(
        "golden: {} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    if total.failed > 0 {
        summary.note_failure(format!(
            "golden cases: {} differ; log of the server: {}",
            total.failed,
            server.log()
        ));
    }
    if let Err(error) = server.end() {
        summary.fail(format!("golden cases: {error:#}"));
    }
    Ok(())
}

fn selected(areas: &[String]) -> Vec<&str> {
    if areas.is_empty() {
        AREAS.to_vec()
    } else {
        areas.iter().map(String::as_str).collect()
    }
}

/// The folder of the cases, if this machine has it.
fn folder() -> Option<PathBuf> {
    let folder = match env::var_os("MAESTRO_GOLDEN") {
        Some(named) => shell::root().join(named),
        None => shell::root().join("../shared/golden"),
    };
    folder.join("probe.py").is_file().then_some(folder)
}

/// Plays one area; the last line of the probe has the counts.
fn play(folder: &Path, server: &Server, area: &str) -> Result<Option<Counts>> {
    let mut probe = shell::program(PYTHON.program);
    probe.arg(folder.join("probe.py"));
    probe.args(["--http-only", "--area", area]);
    probe.args(["--management", &server.management, "--rooms", &server.rooms]);
    probe.args([
        "--management-internal",
        &server.internal,
        "--rooms-internal",
        &server.internal,
    ]);
    // The folder may be read-only, and is not ours to write into.
    probe.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = probe
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run python3")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.trim_end().lines().last().unwrap_or_default();
    let counts = Counts::of_probe(last);
    if counts.is_none_or(|counts| counts.failed > 0) {
        println!("{}", text.trim_end());
    }
    println!("golden {area}: {last}");
    Ok(counts)
}
