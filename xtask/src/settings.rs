//! Generates the shipped settings file and the reference of all keys from the declarations of the settings.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::shell;

const FILE: &str = "config/config.yaml";
const PAGE: &str = "docs/configuration.md";
const TABLE_STARTS: &str = "| key, variable |";
const TABLE_ENDS: &str = "<!-- end of settings -->";

/// Rewrites both files.
///
/// # Errors
/// If the program cannot print them, or the page has no place for the table.
pub fn run() -> Result<()> {
    shell::run(&mut shell::cargo(&["build", "--package", "maestro"]))?;
    fs::write(shell::root().join(FILE), printed("yaml")?)?;
    let path = shell::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let place = page.find(TABLE_STARTS).zip(page.find(TABLE_ENDS));
    let (start, end) = place.with_context(|| format!("{PAGE} has no table of settings"))?;
    let page = [&page[..start], &printed("markdown")?, &page[end..]].concat();
    fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))
}

/// The default settings in this format, unaffected by this machine's environment.
fn printed(format: &str) -> Result<String> {
    let binary = shell::target().join("debug/maestro");
    let mut command = shell::program(&binary.to_string_lossy());
    command
        .args(["check-config", "--format", format])
        .current_dir(std::env::temp_dir())
        .env_clear()
        .stderr(Stdio::inherit());
    let shown = shell::show(&command);
    let output = command
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    ensure!(output.status.success(), "{shown}: {}", output.status);
    String::from_utf8(output.stdout).context("the settings are no text")
}
