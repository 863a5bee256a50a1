//! How connections to forwarders are kept alive.

use std::time::Duration;

/// Keep-alive pings on connections with calls in progress (`adapters.grpc.keepAlive`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    pub(super) time: Duration,
    pub(super) timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self::new(Duration::from_secs(30), Duration::from_secs(5))
    }
}

impl KeepAlive {
    const TIME_UNSET: Duration = Duration::from_secs(15);
    const TIME_MIN: Duration = Duration::from_secs(10);
    const TIMEOUT_UNSET: Duration = Duration::from_secs(5);

    /// Zero selects the default of 15 s and 5 s; pings are never closer together than 10 s (contract 1.4).
    pub fn new(time: Duration, timeout: Duration) -> Self {
        let or = |given: Duration, unset| if given.is_zero() { unset } else { given };
        Self {
            time: or(time, Self::TIME_UNSET).max(Self::TIME_MIN),
            timeout: or(timeout, Self::TIMEOUT_UNSET),
        }
    }
}
