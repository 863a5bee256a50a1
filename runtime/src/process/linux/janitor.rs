//! The periodic task that looks after logs, and reaps what nobody else does. It takes no
//! input and looks at sizes only.

use super::{children, host::Host, log_writer, rotation};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
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
            logs = look_after_writers(&host, std::mem::take(&mut logs.troubles)).await;
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
    troubles: Troubles,
}

/// Logs that something is wrong with, each told of once until it is over. A room may do that
/// to its log for as long as it lives.
#[derive(Default)]
struct Troubles(HashSet<PathBuf>);

impl Troubles {
    /// Whether this one is new.
    fn begins(&mut self, log: &Path) -> bool {
        self.0.insert(log.to_owned())
    }

    /// It is over, if there was one.
    fn ends(&mut self, log: &Path) {
        if self.0.remove(log) {
            tracing::info!(log = %log.display(), "a log is looked after again");
        }
    }

    /// Logs of ended rooms are of no interest any more.
    fn keep(&mut self, logs: &[PathBuf]) {
        if !self.0.is_empty() {
            let present: HashSet<&PathBuf> = logs.iter().collect();
            self.0.retain(|log| present.contains(log));
        }
    }
}

/// Gives logs new writers that lost their own.
async fn look_after_writers(host: &Arc<Host>, mut troubles: Troubles) -> Logs {
    let paths = logs_of_rooms(host);
    troubles.keep(&paths);
    let settings = host.settings.clone();
    let looked = host.blocking(move || {
        let Some(program) = &settings.log_writer else {
            return (HashSet::new(), troubles);
        };
        let rotation = settings.log_rotation();
        let mut has_writer = |log: &PathBuf| match log_writer::ensure(program, log, &rotation) {
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
        };
        let with_writer = paths.into_iter().filter(&mut has_writer).collect();
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
        troubles.keep(std::slice::from_ref(&other));
        assert!(troubles.begins(&one), "its room has ended meanwhile");
        assert!(!troubles.begins(&other));
    }
}
