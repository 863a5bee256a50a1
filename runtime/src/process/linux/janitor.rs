//! The one periodic task: rotates logs and removes folders of rooms that ended long ago.
//! It takes no input and looks at sizes and ages only.

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
        remove_outdated(&host).await;
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

async fn remove_outdated(host: &Arc<Host>) {
    let outdated = host.take_outdated(jiff::Timestamp::now());
    if outdated.is_empty() {
        return;
    }
    let worker = host.clone();
    host.blocking(move || {
        for key in outdated {
            let Some(folder) = worker.rooms.room(&key.0, &key.1) else {
                continue;
            };
            worker.ports.release(&key);
            if let Err(error) = folder.delete() {
                tracing::warn!(folder = %folder.path().display(), %error, "the folder of an ended room cannot be removed");
            }
        }
    })
    .await;
}
