//! What time it is at the API server, whose clock may be far from that of this machine: how long a node has been silent
//! is a question of the cluster's clock alone.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Follows the newest time that the API server has stamped on something.
#[derive(Default)]
pub struct ServerClock(Option<(Timestamp, Instant)>);

impl ServerClock {
    /// Something with this stamp was seen.
    pub fn heard(&mut self, stamp: Timestamp, at: Instant) {
        if self.0.is_none() || self.now(at) < stamp {
            self.0 = Some((stamp, at));
        }
    }

    /// The time there is at least this, so that nothing is over too early. Before anything was heard it is that of this
    /// machine.
    pub fn now(&self, at: Instant) -> Timestamp {
        let Some((stamp, heard)) = self.0 else {
            return Timestamp::now();
        };
        let since = SignedDuration::try_from(at.duration_since(heard));
        let now = stamp.checked_add(since.unwrap_or_default());
        now.unwrap_or(stamp)
    }
}

/// The last time that the API server stamped on a pod: its creation, its deletion, or a change of it.
pub fn stamp(pod: &Pod) -> Option<Timestamp> {
    let meta = &pod.metadata;
    let created = meta.creation_timestamp.as_ref().map(|time| time.0);
    let grace = SignedDuration::from_secs(meta.deletion_grace_period_seconds.unwrap_or(0));
    let deleted = meta.deletion_timestamp.as_ref();
    let deleted = deleted.and_then(|time| time.0.checked_sub(grace).ok());
    let changes = meta.managed_fields.iter().flatten();
    let changed = changes.filter_map(|change| change.time.as_ref().map(|time| time.0));
    created.into_iter().chain(deleted).chain(changed).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn the_newest_stamp_counts_and_time_goes_on_from_it() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut clock = ServerClock::default();
        clock.heard(time("2031-01-01T00:00:10Z"), at(0));
        assert_eq!(clock.now(at(5)), time("2031-01-01T00:00:15Z"));
        clock.heard(time("2031-01-01T00:00:11Z"), at(6));
        assert_eq!(
            clock.now(at(6)),
            time("2031-01-01T00:00:16Z"),
            "it came late"
        );
        clock.heard(time("2031-01-01T00:01:00Z"), at(7));
        assert_eq!(clock.now(at(8)), time("2031-01-01T00:01:01Z"));
    }

    #[test]
    fn a_pod_has_the_stamp_of_what_happened_last() {
        let stamp_of = |meta| stamp(&serde_json::from_value(json!({"metadata": meta})).unwrap());
        let (first, second) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z");
        assert_eq!(stamp_of(json!({})), None);
        let created = json!({"creationTimestamp": first});
        assert_eq!(stamp_of(created), Some(first.parse().unwrap()));
        let changed = json!({
            "creationTimestamp": first,
            "managedFields": [{"time": second, "manager": "kubelet", "operation": "Update"}],
        });
        assert_eq!(stamp_of(changed), Some(second.parse().unwrap()));
        // It is gone in a minute: that is when its grace is over.
        let deleted = json!({
            "creationTimestamp": first,
            "deletionTimestamp": "2026-01-01T00:01:30Z",
            "deletionGracePeriodSeconds": 60,
        });
        assert_eq!(stamp_of(deleted), Some(second.parse().unwrap()));
    }
}
