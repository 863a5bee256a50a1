//! `maestro start`: the orchestrator itself.

use crate::cli::StartArgs;

/// Runs the chosen module until it is asked to end.
///
/// # Errors
/// When it cannot start.
pub fn run(args: &StartArgs) -> anyhow::Result<()> {
    anyhow::bail!("start {}: not built yet", args.module)
}
