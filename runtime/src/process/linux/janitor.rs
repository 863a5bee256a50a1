//! The periodic task that rotates logs and reaps orphans. It takes no input and reads sizes only.

use super::{children, host::Host, log_writer, rotation};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior};

/// How often logs that rooms write themselves are measured: what a flood writes in that time
/// exceeds the bound.
const FLOOD_LOOK_EVERY: Duration = Duration::from_millis(250);
/// Logs per round; with more, each round takes a part.
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
            logs = look_after_writers(&host, std::mem::take(&mut logs.troubles)).await;
            reap(&host).await;
        }
        rotate_logs(&host, &mut logs).await;
    }
}

/// The logs found in the last full round.
#[derive(Default)]
struct Logs {
    /// Logs with a writer: the writer rotates them.
    with_writer: HashSet<PathBuf>,
    next: usize,
    troubles: Troubles,
}

/// Logs with a problem, each reported once until it is over. A room may cause it for as long as it
/// lives.
#[derive(Default)]
struct Troubles(HashSet<PathBuf>);

impl Troubles {
    /// Whether this problem is new.
    fn begins(&mut self, log: &Path) -> bool {
        self.0.insert(log.to_owned())
    }

    /// The problem is over, if there was one.
    fn ends(&mut self, log: &Path) {
        if self.0.remove(log) {
            tracing::info!(log = %log.display(), "a log is looked after again");
        }
    }

    /// Logs of ended rooms are dropped.
    fn keep<V>(&mut self, logs: &HashMap<PathBuf, V>) {
        self.0.retain(|log| logs.contains_key(log));
    }
}

/// Gives logs that lost their writer a new one.
async fn look_after_writers(host: &Arc<Host>, mut troubles: Troubles) -> Logs {
    let rooms = host.live_rooms();
    let logs: HashMap<PathBuf, Option<i32>> = (rooms.iter())
        .flat_map(|(_, live)| live.logs_with_leaders())
        .collect();
    troubles.keep(&logs);
    let settings = host.settings.clone();
    let looked = host.blocking(move || {
        let Some(program) = &settings.log_writer else {
            return (HashSet::new(), troubles);
        };
        let rotation = settings.log_rotation();
        let mut has_writer = |log: &PathBuf, leader| {
            match log_writer::ensure(program, log, leader, &rotation) {
                Ok(writes) => {
                    if writes {
                        troubles.ends(log);
                    }
                    writes
                }
                Err(error) => {
                    if troubles.begins(log) {
                        tracing::warn!(log = %log.display(), %error, "the writer of a log cannot be looked after; if it ends, the room will wait");
                    }
                    true
                }
            }
        };
        let with_writer = (logs.into_iter())
            .filter_map(|(log, leader)| has_writer(&log, leader).then_some(log))
            .collect();
        (with_writer, troubles)
    });
    let (with_writer, troubles) = looked.await.unwrap_or_default();
    Logs {
        with_writer,
        next: 0,
        troubles,
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
    let mut troubles = std::mem::take(&mut logs.troubles);
    let rotated = host.blocking(move || {
        for path in paths {
            match rotation::rotate(&path, bytes, files) {
                Ok(_) => troubles.ends(&path),
                Err(error) => {
                    if troubles.begins(&path) {
                        tracing::warn!(log = %path.display(), %error, "a log cannot be rotated");
                    }
                }
            }
        }
        troubles
    });
    logs.troubles = rotated.await.unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_until_it_is_over_or_its_room_has_gone() {
        let (one, other) = (PathBuf::from("one.log"), PathBuf::from("other.log"));
        let mut troubles = Troubles::default();
        assert!(troubles.begins(&one) && !troubles.begins(&one));
        assert!(troubles.begins(&other));
        troubles.ends(&one);
        assert!(troubles.begins(&one));
        troubles.keep(&HashMap::from([(other.clone(), ())]));
        assert!(troubles.begins(&one), "its room has ended meanwhile");
        assert!(!troubles.begins(&other));
    }
}
