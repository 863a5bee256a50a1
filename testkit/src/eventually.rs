//! Waiting for a level: the one way in which a test waits.

use std::time::{Duration, Instant};

/// How often a level is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Returns once `level` holds; panics with `what` when it does not within `at_most`. For
/// levels, which stay once they are reached: what holds for a moment only may be missed.
pub async fn eventually(at_most: Duration, what: &str, mut level: impl FnMut() -> bool) {
    let until = Instant::now() + at_most;
    while !level() {
        assert!(Instant::now() < until, "not within {at_most:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
