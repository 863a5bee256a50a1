//! The settings that `decide` needs: a plain value, validated by the binary.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Limits and timeouts of one scheduler's state machine (contract 1.4; architecture 4, 6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoreSettings {
    /// `services.roomManager.roomPingTimeoutMillis`
    pub ping_timeout: Duration,
    /// `services.roomManager.roomInitializationTimeoutMillis`
    pub initialization_timeout: Duration,
    /// `services.roomManager.roomScheduleTimeoutMillis`: for a room that no node has a place for
    pub schedule_timeout: Duration,
    /// `services.roomManager.roomMinUptimeMillis`: a room that ends sooner after it was ready counts as a failure of
    /// its version; zero: the end of a room that was ready never does (D30)
    pub room_min_uptime: Duration,
    /// `services.roomManager.roomDeletionTimeoutMillis`
    pub deletion_timeout: Duration,
    /// `services.roomManager.roomValidationTimeoutMillis`, per attempt
    pub validation_timeout: Duration,
    /// `services.roomManager.roomValidationAttempts`
    pub validation_attempts: u32,
    /// `services.roomManager.roomValidationAcceptOccupiedStatus`
    pub validation_accepts_occupied: bool,
    /// `services.roomManager.roomAllocationTTLMillis`
    pub allocation_hold: Duration,
    /// `services.roomManager.allocationFreshMillis`: a room that was silent for longer is allocated only if there is no
    /// other; `None`: there is no such limit (D33)
    pub allocation_fresh: Option<Duration>,
    /// `operations.rooms.add.limit`
    pub add_limit: i32,
    /// `operations.rooms.add.batchSize`: creations at once
    pub add_batch: usize,
    /// `operations.rooms.add.operationTimeout`: for one creation
    pub add_timeout: Duration,
    /// `operations.rooms.remove.limit`
    pub remove_limit: i32,
    /// `operations.rooms.drainDeadline`; `None`: never (D22)
    pub drain_deadline: Option<Duration>,
    /// `version.startTimeout`: within it a started version has all its rooms ready, or is in error
    pub version_start_timeout: Duration,
    /// `version.restartTimeout`: within it rooms have a new configuration, and rooms that were told to end have ended
    pub version_restart_timeout: Duration,
    /// `services.operationManager.operationLeaseTTLMillis`
    pub operation_lease_ttl: Duration,
    /// `workers.redis.operationsTTL`: how long periodic operations are kept; zero: forever
    pub periodic_operation_ttl: Duration,
    /// `workers.healthControllerInterval`
    pub health_interval: Duration,
    /// `workers.storageClenupInterval` (sic): the expected value of an exponential ticker
    pub cleanup_interval: Duration,
    /// `workers.eventDriven`: act on events at once, not only on ticks (D21)
    pub event_driven: bool,
    /// `workers.paused`
    pub paused: bool,
    /// Steady pings are written at least this often (architecture 5).
    pub touch_interval: Duration,
    /// Number of rooms handled per turn when all of them have to be looked at.
    pub rooms_per_turn: usize,
    /// Maximum number of ended operations kept per scheduler; the oldest are deleted first.
    pub history_limit: usize,
    /// Maximum number of rooms per scheduler; orders beyond it are refused, policies stop there.
    pub rooms_limit: usize,
    /// Maximum number of versions kept per scheduler; the oldest are deleted first, but never the active one or the one
    /// before it.
    pub versions_limit: usize,
    /// Maximum number of waiting operations per scheduler; one more is refused.
    pub queue_limit: usize,
    /// Longest back-off for a version whose rooms end too soon (D23).
    pub crash_backoff_max: Duration,
    /// Failures in a row after which the scheduler is `on-error` (D23).
    pub crash_error_after: u32,
    /// How long a runtime call may take.
    pub runtime_timeout: Duration,
    /// `runtime.repairInterval`: objects of a runtime that were edited are repaired this often.
    pub platform_interval: Duration,
    /// The disruption budgets; `None` for a runtime that evicts no room.
    pub protection: Option<ProtectionSettings>,
}

/// Which rooms a disruption budget protects (D11, D38).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProtectionSettings {
    /// `runtimeWatcher.disruptionWorker.intervalSeconds`: a budget that was edited is repaired this often.
    pub interval: Duration,
    /// `runtimeWatcher.disruptionWorker.safetyPercentage`: ready rooms beside those in use, as a share of them.
    pub safety: f64,
    /// `runtimeWatcher.disruptionWorker.protectSingleRoom`
    pub single: bool,
}

impl Default for CoreSettings {
    fn default() -> Self {
        Self {
            ping_timeout: Duration::from_secs(240),
            initialization_timeout: Duration::from_secs(120),
            schedule_timeout: Duration::from_secs(600),
            room_min_uptime: Duration::from_secs(30),
            deletion_timeout: Duration::from_secs(120),
            validation_timeout: Duration::from_secs(120),
            validation_attempts: 3,
            validation_accepts_occupied: false,
            allocation_hold: Duration::from_secs(300),
            allocation_fresh: Some(Duration::from_secs(60)),
            add_limit: 1000,
            add_batch: 40,
            add_timeout: Duration::from_secs(5),
            remove_limit: 50,
            drain_deadline: Some(Duration::from_secs(3600)),
            version_start_timeout: Duration::from_secs(600),
            version_restart_timeout: Duration::from_secs(300),
            operation_lease_ttl: Duration::from_secs(5),
            periodic_operation_ttl: Duration::from_secs(24 * 3600),
            health_interval: Duration::from_secs(60),
            cleanup_interval: Duration::from_secs(3 * 3600),
            event_driven: true,
            paused: false,
            touch_interval: Duration::from_secs(1),
            rooms_per_turn: 64,
            history_limit: 1000,
            rooms_limit: 20_000,
            versions_limit: 200,
            queue_limit: 1000,
            crash_backoff_max: Duration::from_secs(60),
            crash_error_after: 5,
            runtime_timeout: Duration::from_secs(30),
            platform_interval: Duration::from_secs(60),
            protection: None,
        }
    }
}
