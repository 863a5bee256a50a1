//! Waiting for a condition: the only way in which tests wait.

use std::time::Duration;
use tokio::time::Instant;

/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Returns once `level` holds; panics with `what` when it does not within `at_most`. For conditions
/// that stay true once they are reached: a momentary one may be missed. Under paused time it waits no real time.
pub async fn eventually(at_most: Duration, what: &str, mut level: impl FnMut() -> bool) {
    let until = Instant::now() + at_most;
    while !level() {
        assert!(Instant::now() < until, "not within {at_most:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
