//! The task that removes what rooms left behind: it moves folders of rooms that ended long ago to
//! the trash, and empties it. What cannot be removed is logged once and retried with a growing
//! delay. No failure here affects a room or a caller.

use super::{
    clearance::{STUCK_MAX, Stuck},
    host::Host,
    ports::RoomKey,
};
use maestro_core::rules::back_off::BackOff;
use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    hash::Hash,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior};

const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(10 * 60);
/// Maximum number of failures remembered; the next start finds the rest.
const REMEMBERED_MAX: usize = 10_000;

pub async fn run(host: Arc<Host>) {
    let mut cleaner = Cleaner {
        rooms: Again::default(),
        trees: Again::default(),
        host: host.clone(),
    };
    let mut ticks = tokio::time::interval(host.settings.log_check_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = host.stopping.cancelled() => return,
            () = host.discarded.notified() => {}
            _ = ticks.tick() => {}
        }
        cleaner.discard_rooms().await;
        cleaner.empty_trash().await;
    }
}

struct Cleaner {
    host: Arc<Host>,
    /// Whose folders could not be moved to the trash.
    rooms: Again<RoomKey>,
    /// What could not be removed from the trash.
    trees: Again<OsString>,
}

impl Cleaner {
    async fn discard_rooms(&mut self) {
        let now = Instant::now();
        let mut rooms = self.host.take_outdated(jiff::Timestamp::now());
        rooms.extend(self.host.take_refused());
        rooms.extend(self.rooms.due(now));
        if rooms.is_empty() {
            return;
        }
        let worker = self.host.clone();
        let work = move || -> Vec<_> {
            let outcome = rooms.into_iter().map(|key| {
                let moved = match worker.live(&key) {
                    // It was recreated under the same name.
                    Some(_) => Ok(()),
                    None => {
                        worker.ports.release(&key);
                        worker.move_to_trash(&key)
                    }
                };
                (key, moved)
            });
            outcome.collect()
        };
        let Some(outcome) = self.host.blocking(work).await else {
            return;
        };
        for (key, moved) in outcome {
            match moved {
                Ok(()) => self.rooms.forget(&key),
                Err(error) => {
                    if self.rooms.failed(key.clone(), now) {
                        tracing::warn!(scheduler_name = %key.0, room_id = %key.1, %error, "the folder of an ended room cannot be removed; retrying");
                    }
                }
            }
        }
    }

    async fn empty_trash(&mut self) {
        let now = Instant::now();
        let spared = self.trees.not_due(now);
        let worker = self.host.clone();
        let emptied = self.host.jobs.run_to_the_end(move || {
            let is_over = || worker.stopping.is_cancelled();
            worker.trash.empty(&spared, &is_over)
        });
        // A big tree may take long, but must not delay a shutdown.
        let emptied = tokio::select! {
            emptied = emptied => emptied,
            () = self.host.stopping.cancelled() => return,
        };
        match emptied {
            Ok(Ok(stuck)) => self.note(stuck, now),
            Ok(Err(error)) => {
                if self.trees.failed(OsString::new(), now) {
                    let folder = self.host.trash.path().display().to_string();
                    tracing::warn!(folder, %error, "the trash cannot be emptied; it is tried again");
                }
            }
            Err(_) => {}
        }
    }

    fn note(&mut self, stuck: Vec<Stuck>, now: Instant) {
        self.trees.forget(&OsString::new());
        let still: HashSet<_> = stuck.iter().map(|stuck| stuck.name.clone()).collect();
        for name in self.trees.due(now) {
            if !still.contains(&name) && still.len() < STUCK_MAX {
                self.trees.forget(&name);
                tracing::info!(tree = %name.display(), "what could not be removed is gone");
            }
        }
        for Stuck { name, entry, error } in stuck {
            if self.trees.failed(name.clone(), now) {
                let tree = self.host.trash.path().join(name);
                tracing::warn!(tree = %tree.display(), entry, %error, "leftovers of a room cannot be removed; retrying, or remove them by hand");
            }
        }
    }
}

/// Failed removals, with the time of the next attempt.
struct Again<K>(HashMap<K, (Instant, BackOff)>);

impl<K> Default for Again<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash> Again<K> {
    fn due(&self, now: Instant) -> Vec<K> {
        let due = self.0.iter().filter(|(_, (at, _))| *at <= now);
        due.map(|(key, _)| key.clone()).collect()
    }

    fn not_due(&self, now: Instant) -> HashSet<K> {
        let later = self.0.iter().filter(|(_, (at, _))| *at > now);
        later.map(|(key, _)| key.clone()).collect()
    }

    fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Whether this is the first time.
    fn failed(&mut self, key: K, now: Instant) -> bool {
        match self.0.get_mut(&key) {
            Some((at, back_off)) => {
                *at = now + back_off.pause();
                false
            }
            None => {
                if self.0.len() < REMEMBERED_MAX {
                    let mut back_off = BackOff::new(AGAIN_FIRST, AGAIN_MAX);
                    self.0.insert(key, (now + back_off.pause(), back_off));
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_is_told_once_and_tried_again_ever_more_seldom() {
        let mut again = Again::default();
        let begin = Instant::now();
        assert!(again.failed("x", begin));
        assert!(again.due(begin).is_empty());
        assert_eq!(again.not_due(begin), HashSet::from(["x"]));
        let mut now = begin;
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            let delay = Duration::from_secs(seconds);
            assert!(again.due(now + delay - Duration::from_millis(1)).is_empty());
            now += delay;
            assert_eq!(again.due(now), ["x"]);
            assert!(!again.failed("x", now));
        }
        again.forget(&"x");
        assert!(again.failed("x", now), "a new trouble is told anew");
    }
}
