//! Format, lints, documentation, and forbidden dependencies.

use anyhow::Result;

use crate::shell;

/// Runs all of it; the first failure ends it.
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

/// What `deny.toml` says, but for the advisories, which need the network. The tests hold licences and bans without the
/// tool.
fn dependencies() -> Result<()> {
    if !shell::exists("cargo-deny") {
        println!("cargo-deny: skipped, it is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    shell::run(&mut shell::cargo(&[
        "deny", "check", "bans", "licenses", "sources",
    ]))
}

/// Whether something is known against a dependency. Fetches the database of advisories.
///
/// # Errors
/// When there is, and without cargo-deny or a network.
pub fn advisories() -> Result<()> {
    shell::run(&mut shell::cargo(&["deny", "check", "advisories"]))
}
