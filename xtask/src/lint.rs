//! Format, lints, documentation, and forbidden dependencies.

use anyhow::Result;

use crate::shell;

/// Runs all checks; the first failure ends the run.
///
/// # Errors
/// On any failure.
pub fn run() -> Result<()> {
    shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))?;
    shell::run(&mut shell::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    let mut document = shell::cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    shell::run(document.env("RUSTDOCFLAGS", "-D warnings"))?;
    dependencies()
}

/// Checks `deny.toml`, except for the advisories, which need the network. Without the tool, the tests still check
/// licences and bans.
fn dependencies() -> Result<()> {
    if !shell::exists("cargo-deny") {
        println!("cargo-deny: skipped, it is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    shell::run(&mut shell::cargo(&[
        "deny", "check", "bans", "licenses", "sources",
    ]))
}

/// Checks the dependencies for known vulnerabilities. Fetches the database of advisories.
///
/// # Errors
/// If there are any, or without cargo-deny or a network.
pub fn advisories() -> Result<()> {
    shell::run(&mut shell::cargo(&["deny", "check", "advisories"]))
}
