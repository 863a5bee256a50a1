//! Messages that other messages are made of (`messages.proto`).

use jiff::Timestamp;

use crate::codec::message::{kind, messages, slot};
use crate::codec::structs::Struct;
use crate::codec::time::Duration;

messages! {
    /// One container of a room; each room has all of them.
    Container {
        /// Name of the container, unique in its spec; the rules of a scheduler's name.
        name "name" one String = 1;
        /// Image to run, with its tag. Kubernetes only; local processes take the command.
        image "image" one String = 2;
        /// `Always`, `Never` or `IfNotPresent`.
        image_pull_policy "imagePullPolicy" one String = 3;
        /// The program and its arguments. Required for rooms as local processes.
        command "command" many String = 4;
        /// Variables that the container finds in its environment.
        environment "environment" many ContainerEnvironment = 5;
        /// What a room is promised. Both `memory` and `cpu` are required.
        requests "requests" msg ContainerResources = 6;
        /// What a room may use at most. Both `memory` and `cpu` are required.
        limits "limits" msg ContainerResources = 7;
        /// Ports that the container listens on.
        ports "ports" many ContainerPort = 8;
    }
    /// Changes of the container at this place of the list; a place beyond the end adds one.
    OptionalContainer {
        /// Name of the container, unique in its spec; the rules of a scheduler's name.
        name "name" opt String = 1;
        /// Image to run, with its tag. Kubernetes only; local processes take the command.
        image "image" opt String = 2;
        /// `Always`, `Never` or `IfNotPresent`.
        image_pull_policy "imagePullPolicy" opt String = 3;
        /// Replaces the whole command; an empty list changes nothing.
        command "command" many String = 4;
        /// Replaces all variables; an empty list changes nothing.
        environment "environment" many ContainerEnvironment = 5;
        /// Replaces what a room is promised.
        requests "requests" opt ContainerResources = 6;
        /// Replaces what a room may use at most.
        limits "limits" opt ContainerResources = 7;
        /// Replaces all ports; an empty list changes nothing.
        ports "ports" many ContainerPort = 8;
    }
    /// One variable: a `value`, or where it comes from.
    ContainerEnvironment {
        /// Name of the variable.
        name "name" one String = 1;
        /// Its value; wins over `valueFrom`.
        value "value" opt String = 2;
        /// Where its value comes from.
        value_from "valueFrom" opt ContainerEnvironmentValueFrom = 3;
    }
    /// Where a value comes from; a secret wins over a field.
    ContainerEnvironmentValueFrom {
        /// A field of the room itself.
        field_ref "fieldRef" opt ContainerEnvironmentValueFromFieldRef = 1;
        /// A secret.
        secret_key_ref "secretKeyRef" opt ContainerEnvironmentValueFromSecretKeyRef = 2;
    }
    /// A field of the room.
    ContainerEnvironmentValueFromFieldRef {
        /// Path of the field, as `metadata.name`.
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
        /// A fixed port of the host; 0 or left out: one of the range.
        host_port "hostPort" one i32 = 4;
        /// Host ports for this port alone, instead of the scheduler's `portRange`.
        host_port_range "hostPortRange" opt PortRange = 5;
    }
    /// Host ports, both ends included.
    PortRange {
        /// First port; less than `end`.
        start "start" one i32 = 1;
        /// Last port.
        end "end" one i32 = 2;
    }
    /// How matches are put into rooms.
    MatchAllocation {
        /// Matches that one room plays at a time, 1 to 35.
        max_matches "maxMatches" one i32 = 1;
    }
    /// What a room is made of.
    Spec {
        /// Version of the scheduler; set by Maestro, what a request says is not looked at.
        version "version" one String = 1;
        /// How long a room may take to end before it is killed: seconds with up to nine decimals and an `s`, as `100s`
        /// or `1.5s`; a bare number of seconds as a text is read too. More than zero.
        termination_grace_period "terminationGracePeriod" msg Duration = 2;
        /// At least one.
        containers "containers" many Container = 3;
        /// The rooms may run on nodes whose taint `dedicated` has this value. Kubernetes only.
        toleration "toleration" one String = 4;
        /// The rooms run only on nodes where this label is `true`. Kubernetes only.
        affinity "affinity" one String = 5;
        /// `Always`, `OnFailure` or `Never`, which is also what everything else means. Kubernetes only.
        restart_policy "restartPolicy" opt String = 6;
    }
    /// Changes of what a room is made of.
    OptionalSpec {
        /// How long a room may take to end before it is killed, as `100s`.
        termination_grace_period "terminationGracePeriod" opt Duration = 2;
        /// Changes of containers by their place in the list. None can be taken away.
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
        /// Host ports of its rooms; null when its ports have ranges of their own.
        port_range "portRange" msg PortRange = 4;
        /// When this version was created.
        created_at "createdAt" msg Timestamp = 5;
        /// Rooms that a rolling update may have beyond the wanted number.
        max_surge "maxSurge" one String = 6;
        /// Wanted rooms while no autoscaling is on.
        rooms_replicas "roomsReplicas" one i32 = 7;
        /// What a room is made of.
        spec "spec" msg Spec = 8;
        /// Absent when it has none.
        autoscaling "autoscaling" opt Autoscaling = 9;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder = 10;
        /// Free texts.
        annotations "annotations" map String = 11;
        /// Free texts to select by.
        labels "labels" map String = 12;
        /// How matches are put into its rooms.
        match_allocation "matchAllocation" opt MatchAllocation = 13;
    }
    /// A fleet of rooms, in short.
    SchedulerWithoutSpec {
        /// Its name.
        name "name" one String = 1;
        /// The game that it belongs to.
        game "game" one String = 2;
        /// `creating`, `in-sync`, `terminating` or `on-error`.
        state "state" one String = 3;
        /// Its active version.
        version "version" one String = 4;
        /// Host ports of its rooms; null when its ports have ranges of their own.
        port_range "portRange" msg PortRange = 5;
        /// When it was created.
        created_at "createdAt" msg Timestamp = 6;
        /// Rooms that a rolling update may have beyond the wanted number.
        max_surge "maxSurge" one String = 7;
        /// Wanted rooms while no autoscaling is on.
        rooms_replicas "roomsReplicas" one i32 = 8;
        /// How matches are put into its rooms.
        match_allocation "matchAllocation" opt MatchAllocation = 9;
    }
    /// An operation, in short.
    ListOperationItem {
        /// Its id, a UUID.
        id "id" one String = 1;
        /// `pending`, `in_progress`, `finished`, `evicted`, `error` or `canceled`.
        status "status" one String = 2;
        /// What it does, as `create_scheduler` or `add_rooms`.
        definition_name "definitionName" one String = 3;
        /// Present while it runs.
        lease "lease" opt Lease = 4;
        /// The scheduler that it belongs to.
        scheduler_name "schedulerName" one String = 5;
        /// When it was ordered.
        created_at "createdAt" msg Timestamp = 6;
    }
    /// Something that was ordered, and what became of it.
    Operation {
        /// Its id, a UUID.
        id "id" one String = 1;
        /// `pending`, `in_progress`, `finished`, `evicted`, `error` or `canceled`.
        status "status" one String = 2;
        /// What it does, as `create_scheduler` or `add_rooms`.
        definition_name "definitionName" one String = 3;
        /// Absent here.
        lease "lease" opt Lease = 4;
        /// The scheduler that it belongs to.
        scheduler_name "schedulerName" one String = 5;
        /// When it was ordered.
        created_at "createdAt" msg Timestamp = 6;
        /// What it was ordered with; null when nothing was.
        input "input" msg Struct = 7;
        /// What happened, in plain words, oldest first.
        execution_history "executionHistory" many OperationEvent = 8;
    }
    /// Changes of the autoscaling.
    OptionalAutoscaling {
        /// Whether the policy sets the number of rooms.
        enabled "enabled" opt bool = 1;
        /// Fewest rooms, at least 1.
        min "min" opt i32 = 2;
        /// Most rooms; -1: no bound.
        max "max" opt i32 = 3;
        /// Replaces the whole policy.
        policy "policy" opt AutoscalingPolicy = 4;
        /// Seconds to wait after a scale-down before the next one.
        cooldown "cooldown" opt i32 = 5;
    }
    /// The number of rooms by the load.
    Autoscaling {
        /// Whether the policy sets the number of rooms; `roomsReplicas` does otherwise.
        enabled "enabled" one bool = 1;
        /// Fewest rooms, at least 1.
        min "min" one i32 = 2;
        /// Most rooms; -1: no bound.
        max "max" one i32 = 3;
        /// How the number is found.
        policy "policy" msg AutoscalingPolicy = 4;
        /// Seconds to wait after a scale-down before the next one.
        cooldown "cooldown" one i32 = 5;
    }
    /// How the number of rooms is found.
    AutoscalingPolicy {
        /// `roomOccupancy` or `fixedBuffer`.
        r#type "type" one String = 1;
        /// Those of the policy's type.
        parameters "parameters" msg PolicyParameters = 2;
    }
    /// Parameters of the policies.
    PolicyParameters {
        /// Required for `roomOccupancy`.
        room_occupancy "roomOccupancy" opt RoomOccupancy = 1;
        /// Required for `fixedBuffer`.
        fixed_buffer "fixedBuffer" opt FixedBuffer = 2;
    }
    /// A fixed number of ready rooms.
    FixedBuffer {
        /// How many ready rooms there are to be beyond the occupied ones; more than 0.
        amount "amount" opt i32 = 1;
    }
    /// A share of ready rooms.
    RoomOccupancy {
        /// Share of the match slots that is to be free: more than 0, less than 1.
        ready_target "readyTarget" one f32 = 1;
        /// Rooms are taken away only when less than this share of the target is needed: more than 0, less than 1; 0.99
        /// when it is left out.
        down_threshold "downThreshold" opt f32 = 2;
    }
    /// Who works on an operation renews this.
    Lease {
        /// When it ends unless it is renewed, as RFC 3339 in UTC.
        ttl "ttl" one String = 1;
    }
    /// Something that happened.
    OperationEvent {
        /// When.
        created_at "createdAt" msg Timestamp = 1;
        /// What, in plain words.
        event "event" one String = 2;
    }
    /// A version of a scheduler.
    SchedulerVersion {
        /// As `v1.2.0`: the first number counts changes that replace all rooms.
        version "version" one String = 1;
        /// Whether new rooms are of this version.
        is_active "isActive" one bool = 2;
        /// When it was created.
        created_at "createdAt" msg Timestamp = 3;
    }
    /// Where events of rooms and players go.
    Forwarder {
        /// Its name.
        name "name" one String = 1;
        /// Whether events are sent. Off when it is left out.
        enable "enable" one bool = 2;
        /// `gRPC`.
        r#type "type" one String = 3;
        /// Host and port of the service.
        address "address" one String = 4;
        /// A second of time and no metadata when they are left out.
        options "options" opt ForwarderOptions = 5;
    }
    /// How events are sent.
    ForwarderOptions {
        /// Milliseconds that the service may take; not 0.
        timeout "timeout" one i64 = 1;
        /// Sent along with every event.
        metadata "metadata" msg Struct = 2;
    }
    /// The autoscaling, in short.
    AutoscalingInfo {
        /// Whether the policy sets the number of rooms.
        enabled "enabled" one bool = 1;
        /// Fewest rooms.
        min "min" one i32 = 2;
        /// Most rooms; -1: no bound.
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
        /// Wanted rooms while no autoscaling is on.
        rooms_replicas "roomsReplicas" one i32 = 4;
        /// May be allocated.
        rooms_ready "roomsReady" one i32 = 5;
        /// Have as many matches as they take.
        rooms_occupied "roomsOccupied" one i32 = 6;
        /// Are being started.
        rooms_pending "roomsPending" one i32 = 7;
        /// Are ending.
        rooms_terminating "roomsTerminating" one i32 = 8;
        /// Null when it has none.
        autoscaling "autoscaling" msg AutoscalingInfo = 9;
        /// How matches are put into its rooms.
        match_allocation "matchAllocation" opt MatchAllocation = 10;
    }
}
