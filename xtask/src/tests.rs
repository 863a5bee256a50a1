//! `cargo test` over the whole workspace, counted.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::shell;
use crate::summary::{Counts, Summary};

/// Runs every test of the workspace; a failing one does not hide the others.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(summary: &mut Summary) -> Result<()> {
    let mut command = shell::cargo(&["test", "--workspace", "--no-fail-fast"]);
    let shown = shell::show(&command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    let mut counted_failures = 0;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            // A reader that left must not end the tests.
            let _ = writeln!(std::io::stdout(), "{line}");
            if let Some(counts) = Counts::of_cargo(&line) {
                counted_failures += counts.failed;
                summary.add(counts);
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        let why = format!("{shown}: {status}");
        if counted_failures > 0 {
            summary.note_failure(why);
        } else {
            summary.fail(why);
        }
    }
    Ok(())
}
