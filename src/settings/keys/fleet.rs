//! Settings of stores, rooms and fleets.

use crate::settings::form::*;
use crate::settings::key::Key;

pub fn keys() -> Vec<Key> {
    let parts = [
        places(),
        limits(),
        workers(),
        operations(),
        room_times(),
        services(),
    ];
    parts.into_iter().flatten().collect()
}

fn places() -> Vec<Key> {
    vec![
        Key::new(
            "store.type",
            &STORE,
            |s| &mut s.store,
            "Where state lives. auto: embedded, unless an address of Postgres or Redis is set.",
        ),
        Key::new(
            "store.dataDir",
            &PATH,
            |s| &mut s.data_dir,
            "Folder of the embedded store, of the rooms and of their secrets (flag --data-dir).",
        ),
        Key::new(
            "runtime.type",
            &RUNTIME,
            |s| &mut s.runtime,
            "Where rooms live. auto: local processes, unless Kubernetes is set. simulated: without processes, for load tests.",
        ),
        Key::new(
            "runtime.operator.enabled",
            &FLAG,
            |s| &mut s.runtimes.has_operator,
            "On Kubernetes: give each runtime that is created by itself an operator, which looks after it.",
        ),
        Key::new(
            "runtime.statusTimeout",
            &PERIOD,
            |s| &mut s.runtimes.status_timeout,
            "How long after its creation a runtime may not be ready, before its status is ERROR.",
        ),
        Key::new(
            "runtime.repairInterval",
            &PERIOD,
            |s| &mut s.core.platform_interval,
            "How often the objects of runtimes and versions are compared with what they should be, and repaired.",
        ),
        Key::new(
            "runtime.process.host",
            &TEXT,
            |s| &mut s.room_host,
            "Address under which players reach the rooms of this machine.",
        ),
        Key::new(
            "runtime.simulated.startup",
            &DURATION,
            |s| &mut s.simulated.startup,
            "How long a simulated room is pending before it is ready.",
        ),
        Key::new(
            "runtime.simulated.roomList",
            &OPTIONAL_PATH,
            |s| &mut s.simulated.room_list,
            "File to which the ids of simulated rooms are written.",
        ),
    ]
}

fn limits() -> Vec<Key> {
    vec![
        Key::new(
            "actors.threads",
            &AUTO_THREADS,
            |s| &mut s.actor_threads,
            "Threads over which the schedulers' actors are spread. auto: one per processor, at least 2.",
        ),
        Key::new(
            "limits.rooms.perScheduler",
            &COUNT,
            |s| &mut s.core.rooms_limit,
            "Rooms that one scheduler may have: requests beyond that are refused with 429, a policy stops there.",
        ),
        Key::new(
            "limits.rooms.perNode",
            &COUNT,
            |s| &mut s.rooms_per_node,
            "Rooms that this process may have, for all schedulers together.",
        ),
        Key::new(
            "limits.versions",
            &VERSIONS,
            |s| &mut s.core.versions_limit,
            "Versions kept per scheduler; the oldest go first, never the active or the one before it.",
        ),
    ]
}

fn workers() -> Vec<Key> {
    vec![
        Key::new(
            "workers.paused",
            &FLAG,
            |s| &mut s.core.paused,
            "Pings, allocation, reads and edits work; queues do not move and no room is touched.",
        ),
        Key::new(
            "workers.eventDriven",
            &FLAG,
            |s| &mut s.core.event_driven,
            "Act on events at once. false: only on ticks, as the Go Maestro.",
        ),
        Key::unused(
            "workers.syncInterval",
            &PERIOD,
            "10s",
            "How often workers look for schedulers.",
            "the process that creates a scheduler owns it at once",
        ),
        Key::new(
            "workers.stopTimeoutDuration",
            &DURATION,
            |s| &mut s.actors.stop_within,
            "How long a shutdown waits for the schedulers' actors, and then for their tasks.",
        ),
        Key::new(
            "workers.redis.operationsTTL",
            &DURATION,
            |s| &mut s.core.periodic_operation_ttl,
            "How long ended operations of the periodic kinds are kept. 0s: forever.",
        ),
        Key::new(
            "workers.healthControllerInterval",
            &PERIOD,
            |s| &mut s.core.health_interval,
            "How often a fleet is checked without an event.",
        ),
        Key::new(
            "workers.storageClenupInterval",
            &PERIOD,
            |s| &mut s.core.cleanup_interval,
            "Mean time between two clean-ups of a scheduler. The correct spelling is accepted too.",
        ),
    ]
}

fn operations() -> Vec<Key> {
    vec![
        Key::new(
            "operations.rooms.add.limit",
            &LIMIT,
            |s| &mut s.core.add_limit,
            "Maximum rooms that one operation adds.",
        ),
        Key::new(
            "operations.rooms.add.batchSize",
            &LIMIT_SIZE,
            |s| &mut s.core.add_batch,
            "Rooms that are created concurrently, per operation.",
        ),
        Key::new(
            "operations.rooms.add.operationTimeout",
            &PERIOD_OR_SHIPPED,
            |s| &mut s.core.add_timeout,
            "How long the creation of one room may take. Without an answer by then it is ordered again, three times in all.",
        ),
        Key::new(
            "operations.rooms.remove.limit",
            &LIMIT,
            |s| &mut s.core.remove_limit,
            "Maximum rooms that one operation removes by amount.",
        ),
        Key::new(
            "operations.rooms.drainDeadline",
            &OPTIONAL_DURATION,
            |s| &mut s.core.drain_deadline,
            "How long to wait for a room's match to end in a scale-down or rollout. 0s: forever.",
        ),
        Key::new(
            "operations.history.limit",
            &COUNT,
            |s| &mut s.core.history_limit,
            "Ended operations kept per scheduler; the oldest go first.",
        ),
        Key::new(
            "operations.queue.limit",
            &COUNT,
            |s| &mut s.core.queue_limit,
            "Operations that may wait per scheduler; one more is refused.",
        ),
        Key::new(
            "version.startTimeout",
            &PERIOD,
            |s| &mut s.core.version_start_timeout,
            "How long a version of a managed scheduler may take to start, before it is in error.",
        ),
        Key::new(
            "version.restartTimeout",
            &PERIOD,
            |s| &mut s.core.version_restart_timeout,
            "How long rooms may take to get a new configuration, and to end when their version is stopped; also how long a publication may take to reach the Service.",
        ),
    ]
}

fn room_times() -> Vec<Key> {
    vec![
        Key::new(
            "services.roomManager.roomPingTimeoutMillis",
            &PERIOD_MILLIS,
            |s| &mut s.core.ping_timeout,
            "A room that is silent for longer is replaced.",
        ),
        Key::new(
            "services.roomManager.roomInitializationTimeoutMillis",
            &PERIOD_MILLIS,
            |s| &mut s.core.initialization_timeout,
            "How long a room may take to become ready.",
        ),
        Key::new(
            "services.roomManager.roomScheduleTimeoutMillis",
            &PERIOD_MILLIS,
            |s| &mut s.core.schedule_timeout,
            "How long a room may wait for a node with a place for it, for clusters that grow. At least the time to become ready.",
        ),
        Key::new(
            "services.roomManager.roomValidationTimeoutMillis",
            &PERIOD_MILLIS,
            |s| &mut s.core.validation_timeout,
            "How long the validation room of a new version may take to become ready, per attempt.",
        ),
        Key::new(
            "services.roomManager.roomMinUptimeMillis",
            &MILLIS,
            |s| &mut s.core.room_min_uptime,
            "A room that ends sooner after it was ready counts as failed: the next attempts wait longer each time. 0: off.",
        ),
        Key::new(
            "services.roomManager.roomDeletionTimeoutMillis",
            &PERIOD_MILLIS,
            |s| &mut s.core.deletion_timeout,
            "How long a room may take to end before it is told again.",
        ),
    ]
}

fn services() -> Vec<Key> {
    vec![
        Key::new(
            "services.roomManager.roomAllocationTTLMillis",
            &MILLIS,
            |s| &mut s.core.allocation_hold,
            "How long an allocation holds without a match.",
        ),
        Key::new(
            "services.roomManager.allocationFreshMillis",
            &OPTIONAL_MILLIS,
            |s| &mut s.core.allocation_fresh,
            "A ready room that was silent for longer is allocated only if there is no other. 0: silence does not matter.",
        ),
        Key::new(
            "services.roomManager.roomValidationAttempts",
            &ATTEMPTS,
            |s| &mut s.core.validation_attempts,
            "Validation rooms that are tried for a new version.",
        ),
        Key::new(
            "services.roomManager.roomValidationAcceptOccupiedStatus",
            &FLAG,
            |s| &mut s.core.validation_accepts_occupied,
            "Whether a validation room may be occupied instead of ready.",
        ),
        Key::new(
            "services.operationManager.operationLeaseTTLMillis",
            &LEASE_MILLIS,
            |s| &mut s.core.operation_lease_ttl,
            "The lease of a running operation that the API shows.",
        ),
        Key::unused(
            "services.eventsForwarder.schedulerCacheTTLMillis",
            &MILLIS,
            "120000",
            "How long a scheduler is cached for the forwarding of events.",
            "forwarders are those of the active version, at once",
        ),
    ]
}
