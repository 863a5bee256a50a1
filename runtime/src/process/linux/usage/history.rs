//! What versions used in the last two hours. Rooms are added up when they are measured, so that the length of the
//! history does not depend on their number: at most [`VERSIONS_MAX`] × [`SAMPLES_MAX`] samples of 32 bytes, 12 MiB.

use jiff::Timestamp;
use maestro_core::domain::{SchedulerName, SchedulerVersion};
use maestro_core::ports::{Usage, Window};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// How often rooms are measured.
pub const EVERY: Duration = Duration::from_secs(5);
/// How long samples are kept.
const KEPT: Duration = Duration::from_secs(2 * 60 * 60);
const SAMPLES_MAX: usize = (KEPT.as_secs() / EVERY.as_secs()) as usize;
/// Beyond it, the version that was measured longest ago is forgotten.
const VERSIONS_MAX: usize = 256;
/// How far a sample is from the time that it is given for: measurements may be late.
const REACH: Duration = Duration::from_secs(10);

pub type VersionKey = (SchedulerName, SchedulerVersion);

#[derive(Default)]
pub struct History {
    versions: HashMap<VersionKey, VecDeque<Usage>>,
}

impl History {
    /// Adds a sample, which is newer than all before.
    pub fn add(&mut self, version: VersionKey, sample: Usage) {
        if !self.versions.contains_key(&version) && self.versions.len() >= VERSIONS_MAX {
            let last = |samples: &VecDeque<Usage>| samples.back().map(|sample| sample.at);
            let oldest = self
                .versions
                .iter()
                .min_by_key(|(_, samples)| last(samples));
            if let Some(oldest) = oldest.map(|(version, _)| version.clone()) {
                self.versions.remove(&oldest);
            }
        }
        let samples = self.versions.entry(version).or_default();
        samples.push_back(sample);
        while samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// Drops versions that have not been measured for two hours.
    pub fn forget_before(&mut self, now: Timestamp) {
        let Ok(before) = now.checked_sub(KEPT) else {
            return;
        };
        self.versions
            .retain(|_, samples| samples.back().is_some_and(|sample| sample.at > before));
    }

    /// For each time of the window: the CPU of the step before it on average, and the last known memory.
    pub fn usage(&self, version: &VersionKey, window: Window) -> Vec<Usage> {
        let Some(samples) = self.versions.get(version) else {
            return Vec::new();
        };
        let at_times = window.times().filter_map(|at| {
            let since = at.checked_sub(window.step.max(REACH)).ok()?;
            let until = samples.partition_point(|sample| sample.at <= at);
            let known = samples.range(..until).rev();
            let known: Vec<&Usage> = known.take_while(|sample| sample.at > since).collect();
            let bytes = known.first()?.bytes;
            let sum: f64 = known.iter().map(|sample| sample.cores).sum();
            let cores = sum / known.len() as f64;
            Some(Usage { at, cores, bytes })
        });
        at_times.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(version: usize) -> VersionKey {
        ("arena".into(), format!("v{version}.0.0").into())
    }

    fn sample(second: i64, cores: f64, bytes: f64) -> Usage {
        Usage {
            at: at(second),
            cores,
            bytes,
        }
    }

    fn window(from: i64, to: i64, step: u64) -> Window {
        Window {
            from: at(from),
            to: at(to),
            step: Duration::from_secs(step),
        }
    }

    #[test]
    fn each_time_has_the_average_of_its_step_and_the_last_memory() {
        let mut history = History::default();
        for tick in 1..=12 {
            history.add(key(1), sample(tick * 5, tick as f64, tick as f64 * 10.0));
        }
        let found = history.usage(&key(1), window(0, 90, 30));
        // Nothing is known before the first sample, nor half a minute after the last.
        assert_eq!(found, [sample(30, 3.5, 60.0), sample(60, 9.5, 120.0)]);
        let short = history.usage(&key(1), window(59, 61, 1));
        assert_eq!(short.len(), 3);
        assert_eq!(short[2], sample(61, 11.5, 120.0));
        assert_eq!(history.usage(&key(2), window(0, 60, 5)), []);
    }

    #[test]
    fn samples_and_versions_are_bounded() {
        let mut history = History::default();
        for tick in 0..2 * SAMPLES_MAX as i64 {
            history.add(key(0), sample(tick * 5, 0.0, 0.0));
        }
        assert_eq!(history.versions[&key(0)].len(), SAMPLES_MAX);
        let end = 2 * SAMPLES_MAX as i64 * 5;
        for version in 1..=VERSIONS_MAX {
            history.add(key(version), sample(end + version as i64, 0.0, 0.0));
        }
        assert_eq!(history.versions.len(), VERSIONS_MAX);
        assert!(
            !history.versions.contains_key(&key(0)),
            "the oldest is gone"
        );
        history.forget_before(at(end + KEPT.as_secs() as i64 + 100));
        assert_eq!(history.versions.len(), VERSIONS_MAX - 100);
    }
}
