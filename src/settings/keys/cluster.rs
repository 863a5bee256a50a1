//! Settings of Postgres and Redis, and of parts of the Go Maestro that do not exist here.

use crate::settings::Settings;
use crate::settings::form::*;
use crate::settings::key::{Key, Selects};

const MADE_WHEN_NEEDED: &str = "connections are made when they are needed";
const KEPT: &str = "a connection is kept while it works";
/// The setting that makes `maestro migrate` migrate a database.
pub const POSTGRES_URL: &str = "adapters.schedulerStorage.postgres.url";

/// The group `adapters`.
pub fn adapters() -> Vec<Key> {
    let mut keys = stores();
    keys.extend(redis());
    keys.push(Key::new(
        "adapters.portAllocator.random.range",
        &PORT_RANGE,
        |s| &mut s.default_ports,
        "Host ports of a room whose scheduler and port have no range of their own.",
    ));
    keys.extend(super::kubernetes::keys());
    keys.extend([
        Key::new(
            "adapters.grpc.keepAlive.time",
            &DURATION,
            |s| &mut s.keep_alive_time,
            "How long a connection to a forwarder may be idle before a keep-alive ping. 0s: 15s; at least 10s.",
        ),
        Key::new(
            "adapters.grpc.keepAlive.timeout",
            &DURATION,
            |s| &mut s.keep_alive_timeout,
            "How long the answer to that ping may take. 0s: 5s.",
        ),
    ]);
    keys
}

fn stores() -> Vec<Key> {
    vec![
        Key::new(
            "adapters.redis.poolSize",
            &SIZE,
            |s| &mut s.redis.pool_size,
            "Maximum number of connections to Redis; three are enough. 0: no maximum.",
        ),
        Key::unused(
            "adapters.redis.maxConnAge",
            &DURATION,
            "0s",
            "Age at which a connection to Redis is replaced. 0s: never.",
            KEPT,
        ),
        Key::new(
            POSTGRES_URL,
            &TEXT,
            |s| &mut s.postgres_url,
            "The Postgres database of the schedulers; sslmode is one of disable, prefer, require, \
             verify-ca and verify-full.",
        )
        .selecting(Selects::Store),
        Key::new(
            "adapters.schedulerStorage.postgres.poolSize",
            &SIZE,
            |s| &mut s.postgres_pool_size,
            "Connections to Postgres. The Go Maestro's spelling pooSize is accepted too.",
        ),
        Key::unused(
            "adapters.schedulerStorage.postgres.minIdleConns",
            &SIZE,
            "10",
            "Connections to Postgres that are kept open.",
            MADE_WHEN_NEEDED,
        ),
    ]
}

fn redis() -> Vec<Key> {
    let role = |path, at: fn(&mut Settings) -> &mut String, does| {
        Key::new(path, &TEXT, at, does).selecting(Selects::Store)
    };
    vec![
        role(
            "adapters.schedulerCache.redis.url",
            |s| &mut s.redis.scheduler_cache,
            "The Redis of the scheduler cache.",
        ),
        role(
            "adapters.operationStorage.redis.url",
            |s| &mut s.redis.operation_storage,
            "The Redis of the operations.",
        ),
        Key::unused(
            "adapters.operationStorage.redis.operationsTtl.healthController",
            &DURATION,
            "24h",
            "Nothing, as in the Go Maestro.",
            "use workers.redis.operationsTTL",
        ),
        role(
            "adapters.operationFlow.redis.url",
            |s| &mut s.redis.operation_flow,
            "The Redis of the operation queues.",
        ),
        role(
            "adapters.operationLeaseStorage.redis.url",
            |s| &mut s.redis.operation_leases,
            "The Redis of the operation leases.",
        ),
        role(
            "adapters.roomStorage.redis.url",
            |s| &mut s.redis.rooms,
            "The Redis of the rooms.",
        ),
        role(
            "adapters.instanceStorage.redis.url",
            |s| &mut s.redis.instances,
            "The Redis of the instances.",
        ),
        Key::new(
            "adapters.instanceStorage.redis.scanSize",
            &SIZE,
            |s| &mut s.redis.scan_size,
            "Instances that the metrics reporter reads at once. 0: 1000.",
        ),
    ]
}

/// Groups of their own.
pub fn others() -> Vec<Key> {
    vec![
        Key::new(
            "reporter.metrics.intervalMillis",
            &PERIOD_MILLIS,
            |s| &mut s.report_every,
            "How often the module metrics-reporter reads the stores. A process that owns schedulers reports them at each scrape.",
        ),
        Key::new(
            "runtimeWatcher.disruptionWorker.intervalSeconds",
            &PERIOD_SECONDS,
            |s| &mut s.kubernetes.protection.interval,
            "How often a disruption budget that was deleted or edited is repaired. Rooms are protected as soon as they \
             are in use.",
        ),
        Key::new(
            "runtimeWatcher.disruptionWorker.safetyPercentage",
            &SAFETY,
            |s| &mut s.kubernetes.protection.safety,
            "Share of ready rooms that a disruption budget protects beside those in use.",
        ),
        Key::new(
            "runtimeWatcher.disruptionWorker.protectSingleRoom",
            &FLAG,
            |s| &mut s.kubernetes.protection.single,
            "Protect a room in use also if it is the only room of its scheduler; its node cannot be drained meanwhile.",
        ),
        Key::unused(
            "migration.path",
            &TEXT,
            "file://app/migrations",
            "Folder of the database's migrations.",
            "the program brings its migrations with it",
        ),
    ]
}
