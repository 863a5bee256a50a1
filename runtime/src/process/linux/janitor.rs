//! The periodic task that looks after logs, and reaps what nobody else does. It takes no
//! input and looks at sizes only.

use super::{children, host::Host, log_writer, rotation};
use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};

/// How often the sizes of logs are looked at that rooms write themselves: what a flood
/// writes in that time is above the bound.
const FLOOD_LOOK_EVERY: Duration = Duration::from_millis(250);
/// Logs per look; of more, some at each.
const LOOKS_MAX: usize = 1_000;

pub async fn run(host: Arc<Host>) {
    let every = host.settings.log_check_every;
    let mut ticks = tokio::time::interval(every.min(FLOOD_LOOK_EVERY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut logs = Logs::default();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = host.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if Instant::now() >= due {
            due = Instant::now() + every;
            logs = look_after_writers(&host).await;
            reap(&host).await;
        }
        rotate_logs(&host, &mut logs).await;
    }
}

/// What is known of the logs since the last full look.
#[derive(Default)]
struct Logs {
    /// Their writers rotate them.
    with_writer: HashSet<PathBuf>,
    next: usize,
}

/// Gives logs new writers that lost their own.
async fn look_after_writers(host: &Arc<Host>) -> Logs {
    let paths = logs_of_rooms(host);
    let settings = host.settings.clone();
    let looked = host.blocking(move || {
        let Some(program) = &settings.log_writer else {
            return HashSet::new();
        };
        let rotation = settings.log_rotation();
        let has_writer = |log: &PathBuf| {
            log_writer::ensure(program, log, &rotation).unwrap_or_else(|error| {
                tracing::warn!(log = %log.display(), %error, "a log has lost its writer and gets none; its room may wait");
                true
            })
        };
        paths.into_iter().filter(has_writer).collect()
    });
    Logs {
        with_writer: looked.await.unwrap_or_default(),
        next: 0,
    }
}

async fn rotate_logs(host: &Arc<Host>, logs: &mut Logs) {
    let mut paths = logs_of_rooms(host);
    paths.retain(|path| !logs.with_writer.contains(path));
    if paths.is_empty() {
        return;
    }
    paths.sort_unstable();
    let first = logs.next % paths.len();
    paths.rotate_left(first);
    paths.truncate(LOOKS_MAX);
    logs.next = first + paths.len();
    let (bytes, files) = (host.settings.log_bytes, host.settings.log_files);
    host.blocking(move || {
        for path in paths {
            if let Err(error) = rotation::rotate(&path, bytes, files) {
                tracing::warn!(log = %path.display(), %error, "a log cannot be rotated");
            }
        }
    })
    .await;
}

fn logs_of_rooms(host: &Host) -> Vec<PathBuf> {
    let rooms = host.live_rooms();
    rooms.iter().flat_map(|(_, live)| live.logs()).collect()
}

async fn reap(host: &Arc<Host>) {
    host.blocking(|| {
        children::reap_unattended();
        if let Err(error) = children::reap_orphans() {
            tracing::warn!(%error, "processes that lost their parents cannot be reaped for now");
        }
    })
    .await;
}
