//! Every key that may be set, with what it does. A key that stands in the contract but has
//! no effect in this build is still accepted, so that shipped files keep working.

use super::{RuntimeKind, Settings};
use crate::duration;
use std::time::Duration;

type Set = fn(&mut Settings, &str) -> Result<(), String>;

/// One setting.
pub(super) struct Key {
    /// As in the file: `api.port`.
    pub path: &'static str,
    pub set: Set,
}

macro_rules! keys {
    ($($path:literal => |$s:ident, $v:ident| $set:expr;)*) => {
        &[$(Key { path: $path, set: |$s, $v| { $set; Ok(()) } },)*]
    };
}

/// Keys with an effect.
pub(super) const KEYS: &[Key] = keys! {
    "api.port" => |s, v| s.api.port = number(v)?;
    "api.host" => |s, v| s.api.host = v.to_owned();
    "api.gracefulShutdownTimeout" => |s, v| s.graceful_shutdown = go_duration(v)?;
    "api.debug.enabled" => |s, v| s.api_debug = Some(flag(v)?);
    "api.workers" => |s, v| s.http_workers = at_least_one(v)?;
    "roomsApi.port" => |s, v| s.rooms_api.port = number(v)?;
    "roomsApi.host" => |s, v| s.rooms_api.host = v.to_owned();
    "roomsApi.url" => |s, v| s.rooms_api_url = Some(v.to_owned());
    "internalApi.port" => |s, v| s.internal_api.port = number(v)?;
    "internalApi.host" => |s, v| s.internal_api.host = v.to_owned();
    "internalApi.healthcheck.enabled" => |s, v| s.healthcheck_enabled = flag(v)?;
    "internalApi.metrics.enabled" => |s, v| s.metrics_enabled = flag(v)?;
    "store.dataDir" => |s, v| s.data_dir = v.into();
    "runtime.type" => |s, v| s.runtime = runtime_kind(v)?;
    "runtime.simulated.startup" => |s, v| s.simulated.startup = go_duration(v)?;
    "runtime.simulated.roomList" => |s, v| s.simulated.room_list = Some(v.into());
    "runtime.process.host" => |s, v| s.room_host = v.to_owned();
    "actors.threads" => |s, v| s.actors.threads = at_least_one(v)?;
    "workers.paused" => |s, v| s.core.paused = flag(v)?;
    "workers.eventDriven" => |s, v| s.core.event_driven = flag(v)?;
    "workers.healthControllerInterval" => |s, v| s.core.health_interval = tick(v)?;
    "workers.storageClenupInterval" => |s, v| s.core.cleanup_interval = tick(v)?;
    "workers.redis.operationsTTL" => |s, v| s.core.periodic_operation_ttl = go_duration(v)?;
    "operations.rooms.add.limit" => |s, v| s.core.add_limit = positive_or(v, 1000)?;
    "operations.rooms.add.batchSize" => |s, v| s.core.add_batch = positive_or(v, 40)? as usize;
    "operations.rooms.add.operationTimeout" => |s, v| s.core.add_timeout = tick(v)?;
    "operations.rooms.remove.limit" => |s, v| s.core.remove_limit = positive_or(v, 50)?;
    "operations.rooms.drainDeadline" => |s, v| {
        s.core.drain_deadline = Some(go_duration(v)?).filter(|d| !d.is_zero())
    };
    "limits.rooms.perScheduler" => |s, v| s.core.rooms_limit = at_least_one(v)?;
    "limits.rooms.perNode" => |s, v| s.rooms_per_node = at_least_one(v)?;
    "limits.versions" => |s, v| s.core.versions_limit = at_least_one(v)?.max(2);
    "operations.history.limit" => |s, v| s.core.history_limit = at_least_one(v)?;
    "operations.queue.limit" => |s, v| s.core.queue_limit = at_least_one(v)?;
    "services.roomManager.roomPingTimeoutMillis" => |s, v| s.core.ping_timeout = millis(v)?;
    "services.roomManager.roomInitializationTimeoutMillis" => |s, v| {
        s.core.initialization_timeout = millis(v)?
    };
    "services.roomManager.roomValidationTimeoutMillis" => |s, v| s.core.validation_timeout = millis(v)?;
    "services.roomManager.roomDeletionTimeoutMillis" => |s, v| s.core.deletion_timeout = millis(v)?;
    "services.roomManager.roomAllocationTTLMillis" => |s, v| s.core.allocation_hold = millis(v)?;
    "services.roomManager.roomValidationAttempts" => |s, v| {
        s.core.validation_attempts = number::<i64>(v)?.clamp(1, 100) as u32
    };
    "services.roomManager.roomValidationAcceptOccupiedStatus" => |s, v| {
        s.core.validation_accepts_occupied = flag(v)?
    };
    "services.operationManager.operationLeaseTTLMillis" => |s, v| s.core.operation_lease_ttl = millis(v)?;
};

/// Keys of the contract that have no effect here: accepted and passed over.
pub(super) const WITHOUT_EFFECT: &[&str] = &[
    "api.metrics.enabled",
    "api.tracing.jaeger.disabled",
    "api.tracing.jaeger.agent_host",
    "api.tracing.jaeger.agent_port",
    "api.tracing.jaeger.sampler",
    "internalApi.gracefulShutdownTimeout",
    "internalApi.healthcheck.skipPostgresCheck",
    "adapters.portAllocator.random.range",
    "adapters.grpc.keepAlive.time",
    "adapters.grpc.keepAlive.timeout",
    "workers.syncInterval",
    "workers.stopTimeoutDuration",
    "reporter.metrics.intervalMillis",
    "runtimeWatcher.disruptionWorker.intervalSeconds",
    "runtimeWatcher.disruptionWorker.safetyPercentage",
    "services.eventsForwarder.schedulerCacheTTLMillis",
    "migration.path",
    "store.type",
];

/// Keys that speak of a cluster's stores or of Kubernetes.
pub(super) const CLUSTER: &[&str] = &[
    "adapters.redis.poolSize",
    "adapters.redis.maxConnAge",
    "adapters.schedulerStorage.postgres.url",
    "adapters.schedulerStorage.postgres.poolSize",
    "adapters.schedulerStorage.postgres.pooSize",
    "adapters.schedulerStorage.postgres.minIdleConns",
    "adapters.schedulerCache.redis.url",
    "adapters.operationStorage.redis.url",
    "adapters.operationStorage.redis.operationsTtl.healthController",
    "adapters.operationFlow.redis.url",
    "adapters.operationLeaseStorage.redis.url",
    "adapters.roomStorage.redis.url",
    "adapters.instanceStorage.redis.url",
    "adapters.instanceStorage.redis.scanSize",
    "adapters.runtime.kubernetes.inCluster",
    "adapters.runtime.kubernetes.qps",
    "adapters.runtime.kubernetes.burst",
    "adapters.runtime.kubernetes.masterUrl",
    "adapters.runtime.kubernetes.kubeconfig",
    "adapters.runtime.kubernetes.topologySpreadConstraint.enabled",
    "adapters.runtime.kubernetes.topologySpreadConstraint.maxSkew",
    "adapters.runtime.kubernetes.topologySpreadConstraint.topologyKey",
    "adapters.runtime.kubernetes.topologySpreadConstraint.whenUnsatisfiableScheduleAnyway",
];

/// Old names, with the ones that took their place (D24).
pub(super) const ALIASES: &[(&str, &str)] = &[
    (
        "workers.operationExecution.healthControllerInterval",
        "workers.healthControllerInterval",
    ),
    (
        "workers.storageCleanupInterval",
        "workers.storageClenupInterval",
    ),
];

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{text:?} is no number in the range of this setting"))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match number::<usize>(text)? {
        0 => Err("it has to be at least 1".into()),
        n => Ok(n),
    }
}

/// Zero and less mean the shipped value (contract 1.4).
fn positive_or(text: &str, shipped: i32) -> Result<i32, String> {
    let n = number::<i32>(text)?;
    Ok(if n > 0 { n } else { shipped })
}

fn flag(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn runtime_kind(text: &str) -> Result<RuntimeKind, String> {
    match text.trim() {
        "auto" | "process" => Ok(RuntimeKind::Process),
        "simulated" => Ok(RuntimeKind::Simulated),
        _ => Err("it has to be auto, process or simulated".into()),
    }
}

/// Go's syntax; a bare integer means nanoseconds (contract 1.3).
fn go_duration(text: &str) -> Result<Duration, String> {
    if let Ok(nanos) = text.trim().parse::<u64>() {
        return Ok(Duration::from_nanos(nanos));
    }
    duration::parse(text.trim()).map_err(|error| error.to_string())
}

/// A period: one that is zero would never let go.
fn tick(text: &str) -> Result<Duration, String> {
    match go_duration(text)? {
        period if period < Duration::from_millis(1) => Err("it has to be at least 1ms".into()),
        period => Ok(period),
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    let n: u64 =
        number(text).map_err(|_| format!("{text:?} is no whole number of milliseconds"))?;
    Ok(Duration::from_millis(n))
}
