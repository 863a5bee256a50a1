//! What the rooms of a version use: CPU and memory over time, and alerts about them.

use crate::domain::{RoomId, SchedulerName, SchedulerVersion};
use async_trait::async_trait;
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// A version whose rooms are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The scheduler, which has the name of its rooms' namespace.
    pub scheduler: SchedulerName,
    /// The version that the rooms were created from.
    pub version: SchedulerVersion,
    /// The current rooms of the version, for sources that ask for them ([`MetricsSource::selects_by_rooms`]); else
    /// empty.
    pub rooms: Vec<RoomId>,
}

/// The times of samples: `from`, and then one every `step` until `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The time of the first sample.
    pub from: Timestamp,
    /// No sample is later. Not before `from`.
    pub to: Timestamp,
    /// Not zero.
    pub step: Duration,
}

impl Window {
    /// The times, the earliest first.
    pub fn times(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let Self { from, to, step } = *self;
        std::iter::successors(Some(from), move |at| at.checked_add(step).ok())
            .take_while(move |at| *at <= to)
    }
}

/// What all rooms of a version used at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The time.
    pub at: Timestamp,
    /// CPU in cores.
    pub cores: f64,
    /// Memory in bytes.
    pub bytes: f64,
}

impl Usage {
    /// Joins values of CPU and of memory by their times: a missing side is zero, because a series begins and ends when
    /// its first and last pods do. The result is sorted and has each time once.
    pub fn joined(
        cores: impl IntoIterator<Item = (Timestamp, f64)>,
        bytes: impl IntoIterator<Item = (Timestamp, f64)>,
    ) -> Vec<Self> {
        let mut by_time: BTreeMap<Timestamp, (f64, f64)> = BTreeMap::new();
        for (at, value) in cores {
            by_time.entry(at).or_default().0 = value;
        }
        for (at, value) in bytes {
            by_time.entry(at).or_default().1 = value;
        }
        let each = by_time.into_iter();
        each.map(|(at, (cores, bytes))| Self { at, cores, bytes })
            .collect()
    }
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Name of its rule.
    pub name: String,
    /// `pending` or `firing`.
    pub state: String,
    /// Its severity; empty if the rule has none.
    pub severity: String,
    /// What it means, for people; empty if the rule does not say.
    pub summary: String,
    /// Since when.
    pub active_at: Option<Timestamp>,
    /// All of its labels.
    pub labels: BTreeMap<String, String>,
}

/// Why nothing can be said of a version, by what the caller can do about it. Texts are complete sentences for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// The question is not one that the source can be asked.
    #[error("{0}")]
    Invalid(String),
    /// The source did not answer in time.
    #[error("{0}")]
    Late(String),
    /// The source refused the question, or answered what nobody understands.
    #[error("{0}")]
    Internal(String),
    /// The source cannot be reached. A later attempt may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// What the source needs is not set up. The text says what to set.
    #[error("{0}")]
    Unprepared(String),
}

/// Knows what rooms use. Dropping a call cancels it.
#[async_trait]
pub trait MetricsSource: Send + Sync + 'static {
    /// Whether it has to be told the rooms of a version, because it does not know which rooms are of which version.
    fn selects_by_rooms(&self) -> bool {
        false
    }

    /// What the rooms of a version used at the times of a window. Times of which nothing is known are left out.
    ///
    /// # Errors
    /// See [`MetricsError`].
    async fn usage(&self, of: &Measured, window: Window) -> Result<Vec<Usage>, MetricsError>;

    /// Alerts about a version, or about all of its scheduler.
    ///
    /// # Errors
    /// See [`MetricsError`].
    async fn alerts(&self, of: &Measured) -> Result<Vec<Alert>, MetricsError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn both_ends_of_a_window_count() {
        let window = |to| Window {
            from: at(0),
            to: at(to),
            step: Duration::from_secs(60),
        };
        assert_eq!(window(900).times().count(), 16);
        assert_eq!(window(959).times().count(), 16);
        assert_eq!(window(0).times().collect::<Vec<_>>(), [at(0)]);
    }

    /// A rate needs two values: the memory of a new version is known one step before its CPU.
    #[test]
    fn values_are_joined_by_time_and_not_by_place() {
        let joined = Usage::joined(
            [(at(60), 0.5)],
            [(at(120), 2.0), (at(0), 1.0), (at(60), 1.5)],
        );
        let plain: Vec<_> = joined.iter().map(|u| (u.at, u.cores, u.bytes)).collect();
        assert_eq!(
            plain,
            [(at(0), 0.0, 1.0), (at(60), 0.5, 1.5), (at(120), 0.0, 2.0)]
        );
    }
}
