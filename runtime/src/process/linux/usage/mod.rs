//! Measures what rooms use: CPU and memory of their processes, every five seconds, kept for two hours.

mod history;
mod sessions;

use super::host::Host;
use super::ports::RoomKey;
use history::{EVERY, History, VersionKey};
use jiff::Timestamp;
use maestro_core::ports::{Measured, Usage, Window};
use parking_lot::Mutex;
use sessions::SessionUse;
use std::{collections::HashMap, sync::Arc, time::Instant};
use tokio::time::{MissedTickBehavior, interval};

/// What the rooms of this machine used.
#[derive(Default)]
pub struct UsageOfRooms(Mutex<History>);

impl UsageOfRooms {
    pub fn usage(&self, of: &Measured, window: Window) -> Vec<Usage> {
        let version = (of.scheduler.clone(), of.version.clone());
        self.0.lock().usage(&version, window)
    }

    fn add(&self, at: Timestamp, sums: HashMap<VersionKey, (f64, f64)>) {
        let mut history = self.0.lock();
        for (version, (cores, bytes)) in sums {
            history.add(version, Usage { at, cores, bytes });
        }
        history.forget_before(at);
    }
}

/// A room as it is measured: its version, and the sessions of its containers.
struct Target {
    room: RoomKey,
    version: VersionKey,
    sessions: Vec<i32>,
}

/// The previous measurement, by session: rates need two.
#[derive(Default)]
struct Previous {
    at: Option<Instant>,
    ticks: HashMap<(RoomKey, i32), u64>,
}

/// Measures until the runtime is shut down. A measurement that hangs delays the next.
pub async fn measure(host: Arc<Host>, usage: Arc<UsageOfRooms>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut previous = Previous::default();
    let stopping = host.stopping.clone();
    let measuring = async {
        loop {
            ticks.tick().await;
            let targets = targets(&host);
            if targets.is_empty() {
                previous = Previous::default();
                continue;
            }
            let Some(Ok(sessions)) = host.blocking(sessions::all).await else {
                continue;
            };
            usage.add(Timestamp::now(), previous.sums(&targets, &sessions));
        }
    };
    stopping.run_until_cancelled(measuring).await;
}

fn targets(host: &Host) -> Vec<Target> {
    let rooms = host.live_rooms().into_iter();
    rooms
        .filter_map(|(room, live)| {
            let version = host.feeds.instance(&room.0, &room.1)?.version;
            let sessions = live.processes().into_iter();
            Some(Target {
                version: (room.0.clone(), version),
                sessions: sessions
                    .filter_map(|process| i32::try_from(process.pid).ok())
                    .collect(),
                room,
            })
        })
        .collect()
}

impl Previous {
    /// Cores and bytes of each version.
    fn sums(
        &mut self,
        targets: &[Target],
        sessions: &HashMap<i32, SessionUse>,
    ) -> HashMap<VersionKey, (f64, f64)> {
        let now = Instant::now();
        let elapsed = self.at.map(|at| now.duration_since(at).as_secs_f64());
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as f64;
        let mut sums: HashMap<VersionKey, (f64, f64)> = HashMap::new();
        let mut ticks = HashMap::new();
        for target in targets {
            let sum = sums.entry(target.version.clone()).or_default();
            for leader in &target.sessions {
                let Some(used) = sessions.get(leader) else {
                    continue;
                };
                let key = (target.room.clone(), *leader);
                if let (Some(before), Some(elapsed)) = (self.ticks.get(&key), elapsed) {
                    // A process that ended unseen takes its time with it.
                    let more = used.ticks.saturating_sub(*before) as f64;
                    sum.0 += more / per_second / elapsed.max(f64::MIN_POSITIVE);
                }
                sum.1 += used.pages as f64 * page;
                ticks.insert(key, used.ticks);
            }
        }
        *self = Self {
            at: Some(now),
            ticks,
        };
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(room: &str, version: &str, sessions: &[i32]) -> Target {
        let room: RoomKey = ("arena".into(), room.into());
        Target {
            version: (room.0.clone(), version.into()),
            sessions: sessions.to_vec(),
            room,
        }
    }

    fn used(ticks: u64, pages: u64) -> SessionUse {
        SessionUse { ticks, pages }
    }

    #[test]
    fn rooms_are_added_up_by_version_and_rates_need_two_measurements() {
        let targets = [
            target("a", "v1.0.0", &[1, 2]),
            target("b", "v1.0.0", &[3]),
            target("c", "v2.0.0", &[4]),
        ];
        let version = |text: &str| ("arena".into(), text.into());
        let mut previous = Previous::default();
        let before = [(1, used(100, 1)), (2, used(0, 2)), (4, used(9, 5))];
        let sums = previous.sums(&targets, &HashMap::from(before));
        let page = rustix::param::page_size() as f64;
        assert_eq!(sums[&version("v1.0.0")], (0.0, 3.0 * page));
        // Two seconds later; the session of the second room is new, and one counts less than before.
        previous.at = previous.at.map(|at| at - std::time::Duration::from_secs(2));
        let second = rustix::param::clock_ticks_per_second();
        let after = [
            (1, used(100 + second, 1)),
            (2, used(0, 2)),
            (3, used(7 * second, 4)),
            (4, used(0, 5)),
        ];
        let sums = previous.sums(&targets, &HashMap::from(after));
        let (cores, bytes) = sums[&version("v1.0.0")];
        assert!((0.4..=0.5).contains(&cores), "{cores}");
        assert_eq!(bytes, 7.0 * page);
        assert_eq!(sums[&version("v2.0.0")].0, 0.0);
    }
}
