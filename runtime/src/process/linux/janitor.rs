//! The periodic task that rotates logs. It takes no input and looks at sizes only.

use super::{host::Host, logs};
use std::sync::Arc;
use tokio::time::MissedTickBehavior;

pub async fn run(host: Arc<Host>) {
    let mut ticks = tokio::time::interval(host.settings.log_check_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = host.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        rotate_logs(&host).await;
    }
}

async fn rotate_logs(host: &Arc<Host>) {
    let rooms = host.live_rooms();
    let paths: Vec<_> = rooms.iter().flat_map(|(_, live)| live.logs()).collect();
    let (bytes, files) = (host.settings.log_bytes, host.settings.log_files);
    host.blocking(move || {
        for path in paths {
            if let Err(error) = logs::rotate(&path, bytes, files) {
                tracing::warn!(log = %path.display(), %error, "a log cannot be rotated");
            }
        }
    })
    .await;
}
