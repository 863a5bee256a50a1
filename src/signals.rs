//! The signals that end the process.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Waits for TERM or INT.
///
/// # Errors
/// If signal handlers cannot be installed.
pub async fn ended_by_signal() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for TERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for INT")?;
    let name = tokio::select! {
        _ = term.recv() => "TERM",
        _ = int.recv() => "INT",
    };
    info!(signal = name, "shutting down: no new work, rooms stay");
    Ok(())
}
