//! Replaces a connection that is of no use any more and does not end by itself:
//!
//! - It is written to and never answers, because the network has lost it without a word. The client library looks for
//!   such connections too, but it measures from the last write: one that is written to all the time is never found.
//! - Its server became a replica in a fail-over. Such a server keeps its clients, and refuses their changes for ever.

use super::preflight::is_replica;
use fred::clients::Client;
use fred::error::ErrorKind;
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
        until_useless(&client).await;
        // It fails if connecting fails, and is tried again then.
        let _ = client.force_reconnection().await;
    }
}

/// Completes when the connection is to be replaced.
pub async fn until_useless(client: &Client) {
    let mut silent_since = None;
    loop {
        sleep(LOOK_EVERY).await;
        let asked_at = Instant::now();
        let answer = is_replica(client).await;
        if matches!(answer, Ok(true)) && is_left_behind(client).await {
            warn!(
                "Redis is a replica now, and its address leads to the primary; it is connected again"
            );
            return;
        }
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

/// Whether those who connect now reach a primary, and no longer the replica that this one is connected to. A replica
/// that is all there is still answers reads: its connections are left alone.
async fn is_left_behind(client: &Client) -> bool {
    let next = client.clone_new();
    // It goes on to its end whoever waits for it: a connection that is dropped half-way would stay.
    let look = tokio::spawn(async move {
        if next.init().await.is_err() {
            return false;
        }
        let is_primary = matches!(is_replica(&next).await, Ok(false));
        let _ = next.quit().await;
        is_primary
    });
    // Otherwise it was promoted meanwhile.
    look.await.unwrap_or(false) && matches!(is_replica(client).await, Ok(true))
}
