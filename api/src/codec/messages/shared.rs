//! Messages that are used by other messages (`messages.proto`).

use jiff::Timestamp;

use crate::codec::macros::{kind, messages, slot};
use crate::codec::structs::Struct;
use crate::codec::time::Duration;

messages! {
    /// One container of a room; each room has all of them.
    Container {
        /// Name of the container, unique in its spec; it follows the rules of a scheduler's name.
        name "name" one String = 1;
        /// Image to run, with its tag. Kubernetes only; local processes run the command.
        image "image" one String = 2;
        /// `Always`, `Never` or `IfNotPresent`.
        image_pull_policy "imagePullPolicy" one String = 3;
        /// The program and its arguments. Required for rooms as local processes.
        command "command" many String = 4;
        /// Environment variables of the container.
        environment "environment" many ContainerEnvironment = 5;
        /// Resources guaranteed to a room. Both `memory` and `cpu` are required.
        requests "requests" msg ContainerResources = 6;
        /// Maximum resources of a room. Both `memory` and `cpu` are required.
        limits "limits" msg ContainerResources = 7;
        /// Ports that the container listens on.
        ports "ports" many ContainerPort = 8;
    }
    /// Changes to the container at this position of the list; a position beyond the end adds one.
    OptionalContainer {
        /// Name of the container, unique in its spec; it follows the rules of a scheduler's name.
        name "name" opt String = 1;
        /// Image to run, with its tag. Kubernetes only; local processes run the command.
        image "image" opt String = 2;
        /// `Always`, `Never` or `IfNotPresent`.
        image_pull_policy "imagePullPolicy" opt String = 3;
        /// Replaces the whole command; an empty list changes nothing.
        command "command" many String = 4;
        /// Replaces all variables; an empty list changes nothing.
        environment "environment" many ContainerEnvironment = 5;
        /// Replaces the guaranteed resources.
        requests "requests" opt ContainerResources = 6;
        /// Replaces the maximum resources.
        limits "limits" opt ContainerResources = 7;
        /// Replaces all ports; an empty list changes nothing.
        ports "ports" many ContainerPort = 8;
    }
    /// An environment variable: its `value`, or the source of its value.
    ContainerEnvironment {
        /// Name of the variable.
        name "name" one String = 1;
        /// Its value; takes precedence over `valueFrom`.
        value "value" opt String = 2;
        /// The source of its value.
        value_from "valueFrom" opt ContainerEnvironmentValueFrom = 3;
    }
    /// The source of a value; a secret takes precedence over a field.
    ContainerEnvironmentValueFrom {
        /// A field of the room itself.
        field_ref "fieldRef" opt ContainerEnvironmentValueFromFieldRef = 1;
        /// A secret.
        secret_key_ref "secretKeyRef" opt ContainerEnvironmentValueFromSecretKeyRef = 2;
    }
    /// A field of the room.
    ContainerEnvironmentValueFromFieldRef {
        /// Path of the field, such as `metadata.name`.
        field_path "fieldPath" one String = 1;
    }
    /// One key of a secret.
    ContainerEnvironmentValueFromSecretKeyRef {
        /// Name of the secret.
        name "name" one String = 1;
        /// Key in the secret.
        key "key" one String = 2;
    }
    /// Memory and processor time.
    ContainerResources {
        /// A quantity as in Kubernetes: `100Mi`, `1Gi`.
        memory "memory" one String = 1;
        /// A quantity as in Kubernetes: `100m` is a tenth of a core, `1` a whole one.
        cpu "cpu" one String = 2;
    }
    /// A port of a container.
    ContainerPort {
        /// Name of the port, at most 15 characters.
        name "name" one String = 1;
        /// `tcp`, `udp` or `sctp`, in lower case.
        protocol "protocol" one String = 2;
        /// The port that the container listens on.
        port "port" one i32 = 3;
        /// A fixed host port; if 0 or left out, one from the range is used.
        host_port "hostPort" one i32 = 4;
        /// Host ports for this port only, instead of the scheduler's `portRange`.
        host_port_range "hostPortRange" opt PortRange = 5;
    }
    /// A range of host ports, both ends included.
    PortRange {
        /// First port; must be less than `end`.
        start "start" one i32 = 1;
        /// Last port.
        end "end" one i32 = 2;
    }
    /// How matches are assigned to rooms.
    MatchAllocation {
        /// Concurrent matches per room, 1 to 35.
        max_matches "maxMatches" one i32 = 1;
    }
    /// The specification of a room.
    Spec {
        /// Version of the scheduler; set by Maestro and ignored in requests.
        version "version" one String = 1;
        /// How long a room may take to end before it is killed: seconds with up to nine decimals and an `s`, such as
        /// `100s` or `1.5s`; a string with a plain number of seconds is accepted too. Must be positive.
        termination_grace_period "terminationGracePeriod" msg Duration = 2;
        /// The containers of the room, at least one.
        containers "containers" many Container = 3;
        /// The rooms may run on nodes whose taint `dedicated` has this value. Kubernetes only.
        toleration "toleration" one String = 4;
        /// The rooms run only on nodes where this label is `true`. Kubernetes only.
        affinity "affinity" one String = 5;
        /// `Always`, `OnFailure` or `Never`; any other value means `Never`. Kubernetes only.
        restart_policy "restartPolicy" opt String = 6;
    }
    /// Changes to the specification of a room.
    OptionalSpec {
        /// How long a room may take to end before it is killed, such as `100s`.
        termination_grace_period "terminationGracePeriod" opt Duration = 2;
        /// Changes to containers by their position in the list. None can be removed.
        containers "containers" many OptionalContainer = 3;
        /// The rooms may run on nodes whose taint `dedicated` has this value. Kubernetes only.
        toleration "toleration" opt String = 4;
        /// The rooms run only on nodes where this label is `true`. Kubernetes only.
        affinity "affinity" opt String = 5;
    }
    /// A fleet of rooms.
    Scheduler {
        /// Its name.
        name "name" one String = 1;
        /// The game that it belongs to.
        game "game" one String = 2;
        /// `creating`, `in-sync`, `terminating` or `on-error`.
        state "state" one String = 3;
        /// Host ports of its rooms; null if every port has a range of its own.
        port_range "portRange" msg PortRange = 4;
        /// When this version was created.
        created_at "createdAt" msg Timestamp = 5;
        /// Maximum number of rooms beyond the desired number during a rolling update.
        max_surge "maxSurge" one String = 6;
        /// Desired number of rooms while autoscaling is off.
        rooms_replicas "roomsReplicas" one i32 = 7;
        /// The specification of a room.
        spec "spec" msg Spec = 8;
        /// Absent if it has no autoscaling.
        autoscaling "autoscaling" opt Autoscaling = 9;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder = 10;
        /// Arbitrary texts.
        annotations "annotations" map String = 11;
        /// Arbitrary texts to select by.
        labels "labels" map String = 12;
        /// How matches are assigned to its rooms.
        match_allocation "matchAllocation" opt MatchAllocation = 13;
    }
    /// A summary of a fleet of rooms.
    SchedulerWithoutSpec {
        /// Its name.
        name "name" one String = 1;
        /// The game that it belongs to.
        game "game" one String = 2;
        /// `creating`, `in-sync`, `terminating` or `on-error`.
        state "state" one String = 3;
        /// Its active version.
        version "version" one String = 4;
        /// Host ports of its rooms; null if every port has a range of its own.
        port_range "portRange" msg PortRange = 5;
        /// When it was created.
        created_at "createdAt" msg Timestamp = 6;
        /// Maximum number of rooms beyond the desired number during a rolling update.
        max_surge "maxSurge" one String = 7;
        /// Desired number of rooms while autoscaling is off.
        rooms_replicas "roomsReplicas" one i32 = 8;
        /// How matches are assigned to its rooms.
        match_allocation "matchAllocation" opt MatchAllocation = 9;
    }
    /// A summary of an operation.
    ListOperationItem {
        /// Its id, a UUID.
        id "id" one String = 1;
        /// `pending`, `in_progress`, `finished`, `evicted`, `error` or `canceled`.
        status "status" one String = 2;
        /// Its kind, such as `create_scheduler` or `add_rooms`.
        definition_name "definitionName" one String = 3;
        /// Present while the operation runs.
        lease "lease" opt Lease = 4;
        /// The scheduler that it belongs to.
        scheduler_name "schedulerName" one String = 5;
        /// When it was ordered.
        created_at "createdAt" msg Timestamp = 6;
    }
    /// An operation: what was ordered, and its outcome.
    Operation {
        /// Its id, a UUID.
        id "id" one String = 1;
        /// `pending`, `in_progress`, `finished`, `evicted`, `error` or `canceled`.
        status "status" one String = 2;
        /// Its kind, such as `create_scheduler` or `add_rooms`.
        definition_name "definitionName" one String = 3;
        /// Always absent here.
        lease "lease" opt Lease = 4;
        /// The scheduler that it belongs to.
        scheduler_name "schedulerName" one String = 5;
        /// When it was ordered.
        created_at "createdAt" msg Timestamp = 6;
        /// Its input; null if it has none.
        input "input" msg Struct = 7;
        /// What happened, in plain words, oldest first.
        execution_history "executionHistory" many OperationEvent = 8;
    }
    /// Changes to the autoscaling.
    OptionalAutoscaling {
        /// Whether the policy sets the number of rooms.
        enabled "enabled" opt bool = 1;
        /// Minimum number of rooms, at least 1.
        min "min" opt i32 = 2;
        /// Maximum number of rooms; -1 means unlimited.
        max "max" opt i32 = 3;
        /// Replaces the whole policy.
        policy "policy" opt AutoscalingPolicy = 4;
        /// Seconds to wait after a scale-down before the next one.
        cooldown "cooldown" opt i32 = 5;
    }
    /// Autoscaling: sets the number of rooms according to the load.
    Autoscaling {
        /// Whether the policy sets the number of rooms; otherwise `roomsReplicas` does.
        enabled "enabled" one bool = 1;
        /// Minimum number of rooms, at least 1.
        min "min" one i32 = 2;
        /// Maximum number of rooms; -1 means unlimited.
        max "max" one i32 = 3;
        /// The policy that computes the number of rooms.
        policy "policy" msg AutoscalingPolicy = 4;
        /// Seconds to wait after a scale-down before the next one.
        cooldown "cooldown" one i32 = 5;
    }
    /// How the number of rooms is computed.
    AutoscalingPolicy {
        /// `roomOccupancy` or `fixedBuffer`.
        r#type "type" one String = 1;
        /// The parameters of the policy.
        parameters "parameters" msg PolicyParameters = 2;
    }
    /// Parameters of the policies; those of the policy's type are required.
    PolicyParameters {
        /// Required for `roomOccupancy`.
        room_occupancy "roomOccupancy" opt RoomOccupancy = 1;
        /// Required for `fixedBuffer`.
        fixed_buffer "fixedBuffer" opt FixedBuffer = 2;
    }
    /// Keeps a fixed number of ready rooms.
    FixedBuffer {
        /// Number of ready rooms to keep in addition to the occupied ones; more than 0.
        amount "amount" opt i32 = 1;
    }
    /// Keeps a share of the match slots free.
    RoomOccupancy {
        /// Share of the match slots to keep free: more than 0, less than 1.
        ready_target "readyTarget" one f32 = 1;
        /// Rooms are removed only if the smaller fleet needs at most this share of the match slots that are free now:
        /// more than 0, less than 1; the default is 0.99.
        down_threshold "downThreshold" opt f32 = 2;
    }
    /// The right to work on an operation; its owner renews it while it works.
    Lease {
        /// When it expires unless it is renewed, as RFC 3339 in UTC.
        ttl "ttl" one String = 1;
    }
    /// An entry of an operation's history.
    OperationEvent {
        /// When it happened.
        created_at "createdAt" msg Timestamp = 1;
        /// What happened, in plain words.
        event "event" one String = 2;
    }
    /// A version of a scheduler.
    SchedulerVersion {
        /// Such as `v1.2.0`: the first number counts changes that replace all rooms.
        version "version" one String = 1;
        /// Whether this is the active version, which new rooms get.
        is_active "isActive" one bool = 2;
        /// When it was created.
        created_at "createdAt" msg Timestamp = 3;
    }
    /// A service that receives the events of rooms and players.
    Forwarder {
        /// Its name.
        name "name" one String = 1;
        /// Whether events are sent. The default is false.
        enable "enable" one bool = 2;
        /// Always `gRPC`.
        r#type "type" one String = 3;
        /// Host and port of the service.
        address "address" one String = 4;
        /// The defaults are a timeout of one second and no metadata.
        options "options" opt ForwarderOptions = 5;
    }
    /// How events are sent.
    ForwarderOptions {
        /// Timeout of a call in milliseconds; not 0.
        timeout "timeout" one i64 = 1;
        /// Metadata that is sent along with every event.
        metadata "metadata" msg Struct = 2;
    }
    /// A summary of the autoscaling.
    AutoscalingInfo {
        /// Whether the policy sets the number of rooms.
        enabled "enabled" one bool = 1;
        /// Minimum number of rooms.
        min "min" one i32 = 2;
        /// Maximum number of rooms; -1 means unlimited.
        max "max" one i32 = 3;
        /// Seconds to wait after a scale-down before the next one.
        cooldown "cooldown" one i32 = 5;
    }
    /// Counts of the rooms of one scheduler.
    SchedulerInfo {
        /// Its name.
        name "name" one String = 1;
        /// The game that it belongs to.
        game "game" one String = 2;
        /// `creating`, `in-sync`, `terminating` or `on-error`.
        state "state" one String = 3;
        /// Desired number of rooms while autoscaling is off.
        rooms_replicas "roomsReplicas" one i32 = 4;
        /// Rooms that can be allocated.
        rooms_ready "roomsReady" one i32 = 5;
        /// Rooms that have as many matches as they can take.
        rooms_occupied "roomsOccupied" one i32 = 6;
        /// Rooms that are being started.
        rooms_pending "roomsPending" one i32 = 7;
        /// Rooms that are being terminated.
        rooms_terminating "roomsTerminating" one i32 = 8;
        /// Null if it has none.
        autoscaling "autoscaling" msg AutoscalingInfo = 9;
        /// How matches are assigned to its rooms.
        match_allocation "matchAllocation" opt MatchAllocation = 10;
    }
}
