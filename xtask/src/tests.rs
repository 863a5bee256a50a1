//! `cargo test` over the whole workspace, counted.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::shell;
use crate::summary::{Counts, Summary};

/// Runs every test of the workspace; a failing one does not hide the others.
///
/// # Errors
/// If cargo cannot be started.
pub fn run(summary: &mut Summary) -> Result<()> {
    let command = shell::cargo(&["test", "--workspace", "--no-fail-fast"]);
    counted(command, "", summary, |_| {}).map(drop)
}

/// Runs `cargo test`, passes its output on and counts its results. `started` receives the process
/// id; `hint` is appended to a failure. Returns the exit status.
///
/// # Errors
/// If cargo cannot be started.
pub fn counted(
    mut command: Command,
    hint: &str,
    summary: &mut Summary,
    started: impl FnOnce(u32),
) -> Result<ExitStatus> {
    let shown = shell::show(&command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    started(child.id());
    let mut counted_failures = 0;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            // A closed stdout must not end the tests.
            let _ = writeln!(std::io::stdout(), "{line}");
            if let Some(counts) = Counts::of_cargo(&line) {
                counted_failures += counts.failed;
                summary.add(counts);
            }
        }
    }
    let status = child.wait()?;
    // Without an exit code it was killed by a signal.
    if status.code().is_some_and(|code| code != 0) {
        let why = format!("{shown}: {status}{hint}");
        if counted_failures > 0 {
            summary.note_failure(why);
        } else {
            summary.fail(why);
        }
    }
    Ok(status)
}
