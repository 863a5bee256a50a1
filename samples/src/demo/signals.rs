//! The signals that end the demonstration.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the demonstration.
pub struct Signals {
    int: Signal,
    term: Signal,
    /// The terminal was closed.
    hup: Signal,
}

impl Signals {
    /// # Errors
    /// If signals cannot be listened for.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?,
            term: signal(SignalKind::terminate()).context("cannot listen for TERM")?,
            hup: signal(SignalKind::hangup()).context("cannot listen for HUP")?,
        })
    }

    /// Waits for the first of them.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
            _ = self.hup.recv() => {}
        }
    }
}
