//! Replaces a connection that is written to and never answers, because the network has lost it without a word.
//!
//! The client library looks for such connections too, but it measures from the last write: one that is written to all
//! the time is never found.

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

/// A connection without any answer for this long is replaced. Longer than the timeout of a command.
pub const SILENT_MAX: Duration = Duration::from_secs(4);
/// The pause between two questions.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches one client, until the last clone is dropped.
#[derive(Clone)]
pub struct Watchdog {
    _task: Arc<AbortOnDropHandle<()>>,
}

impl Watchdog {
    /// Must be called on a runtime.
    pub fn of(client: &Client) -> Self {
        let task = tokio::spawn(watch(client.clone()));
        Self {
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }
}

async fn watch(client: Client) {
    loop {
        begins(&client).await;
        // It fails if connecting fails, and is tried again then.
        let _ = client.force_reconnection().await;
    }
}

/// Completes when the connection is to be replaced.
pub async fn begins(client: &Client) {
    let mut silent_since = None;
    loop {
        sleep(LOOK_EVERY).await;
        let asked_at = Instant::now();
        let answer: Result<(), Error> = client.ping(None).await;
        // Without a connection it tries to connect, which has its own limit of time.
        let is_silent = answer.is_err_and(|error| *error.kind() == ErrorKind::Timeout);
        if !is_silent || !client.is_connected() {
            silent_since = None;
            continue;
        }
        if silent_since.get_or_insert(asked_at).elapsed() >= SILENT_MAX {
            warn!("Redis has not answered for {SILENT_MAX:?}; it is connected again");
            return;
        }
    }
}
