//! Format, lints, and forbidden dependencies.

use anyhow::{Context, Result, bail};

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
    absent(
        "aws-lc-sys",
        "it is a second TLS provider beside ring: switch off the default feature that brings it in",
    )
}

/// Fails when any crate of the workspace, on any platform, brings `name` in.
fn absent(name: &str, why: &str) -> Result<()> {
    let mut command = shell::cargo(&[
        "tree",
        "--workspace",
        "--target",
        "all",
        "--edges",
        "all",
        "--invert",
        name,
    ]);
    let shown = shell::show(&command);
    let output = command
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    // What cargo says of a package that is not in Cargo.lock at all.
    let unknown = errors.contains("did not match any packages");
    if !output.status.success() && !unknown {
        bail!("{shown}: {}", errors.trim());
    }
    if !output.stdout.is_empty() {
        bail!(
            "{name} must not be a dependency; {why}\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}
