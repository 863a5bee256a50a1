//! Messages that other messages are made of (`messages.proto`).

use jiff::Timestamp;

use crate::codec::message::{messages, slot};
use crate::codec::structs::Struct;
use crate::codec::time::Duration;

messages! {
    Container {
        name "name" one String;
        image "image" one String;
        image_pull_policy "imagePullPolicy" one String;
        command "command" many String;
        environment "environment" many ContainerEnvironment;
        requests "requests" msg ContainerResources;
        limits "limits" msg ContainerResources;
        ports "ports" many ContainerPort;
    }
    OptionalContainer {
        name "name" opt String;
        image "image" opt String;
        image_pull_policy "imagePullPolicy" opt String;
        command "command" many String;
        environment "environment" many ContainerEnvironment;
        requests "requests" opt ContainerResources;
        limits "limits" opt ContainerResources;
        ports "ports" many ContainerPort;
    }
    ContainerEnvironment {
        name "name" one String;
        value "value" opt String;
        value_from "valueFrom" opt ContainerEnvironmentValueFrom;
    }
    ContainerEnvironmentValueFrom {
        field_ref "fieldRef" opt ContainerEnvironmentValueFromFieldRef;
        secret_key_ref "secretKeyRef" opt ContainerEnvironmentValueFromSecretKeyRef;
    }
    ContainerEnvironmentValueFromFieldRef {
        field_path "fieldPath" one String;
    }
    ContainerEnvironmentValueFromSecretKeyRef {
        name "name" one String;
        key "key" one String;
    }
    ContainerResources {
        memory "memory" one String;
        cpu "cpu" one String;
    }
    ContainerPort {
        name "name" one String;
        protocol "protocol" one String;
        port "port" one i32;
        host_port "hostPort" one i32;
        host_port_range "hostPortRange" opt PortRange;
    }
    PortRange {
        start "start" one i32;
        end "end" one i32;
    }
    MatchAllocation {
        max_matches "maxMatches" one i32;
    }
    Spec {
        version "version" one String;
        termination_grace_period "terminationGracePeriod" msg Duration;
        containers "containers" many Container;
        toleration "toleration" one String;
        affinity "affinity" one String;
        restart_policy "restartPolicy" opt String;
    }
    OptionalSpec {
        termination_grace_period "terminationGracePeriod" opt Duration;
        containers "containers" many OptionalContainer;
        toleration "toleration" opt String;
        affinity "affinity" opt String;
    }
    Scheduler {
        name "name" one String;
        game "game" one String;
        state "state" one String;
        port_range "portRange" msg PortRange;
        created_at "createdAt" msg Timestamp;
        max_surge "maxSurge" one String;
        rooms_replicas "roomsReplicas" one i32;
        spec "spec" msg Spec;
        autoscaling "autoscaling" opt Autoscaling;
        forwarders "forwarders" many Forwarder;
        annotations "annotations" map String;
        labels "labels" map String;
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    SchedulerWithoutSpec {
        name "name" one String;
        game "game" one String;
        state "state" one String;
        version "version" one String;
        port_range "portRange" msg PortRange;
        created_at "createdAt" msg Timestamp;
        max_surge "maxSurge" one String;
        rooms_replicas "roomsReplicas" one i32;
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    ListOperationItem {
        id "id" one String;
        status "status" one String;
        definition_name "definitionName" one String;
        lease "lease" opt Lease;
        scheduler_name "schedulerName" one String;
        created_at "createdAt" msg Timestamp;
    }
    Operation {
        id "id" one String;
        status "status" one String;
        definition_name "definitionName" one String;
        lease "lease" opt Lease;
        scheduler_name "schedulerName" one String;
        created_at "createdAt" msg Timestamp;
        input "input" msg Struct;
        execution_history "executionHistory" many OperationEvent;
    }
    OptionalAutoscaling {
        enabled "enabled" opt bool;
        min "min" opt i32;
        max "max" opt i32;
        policy "policy" opt AutoscalingPolicy;
        cooldown "cooldown" opt i32;
    }
    Autoscaling {
        enabled "enabled" one bool;
        min "min" one i32;
        max "max" one i32;
        policy "policy" msg AutoscalingPolicy;
        cooldown "cooldown" one i32;
    }
    AutoscalingPolicy {
        r#type "type" one String;
        parameters "parameters" msg PolicyParameters;
    }
    PolicyParameters {
        room_occupancy "roomOccupancy" opt RoomOccupancy;
        fixed_buffer "fixedBuffer" opt FixedBuffer;
    }
    FixedBuffer {
        amount "amount" opt i32;
    }
    RoomOccupancy {
        ready_target "readyTarget" one f32;
        down_threshold "downThreshold" opt f32;
    }
    Lease {
        ttl "ttl" one String;
    }
    OperationEvent {
        created_at "createdAt" msg Timestamp;
        event "event" one String;
    }
    SchedulerVersion {
        version "version" one String;
        is_active "isActive" one bool;
        created_at "createdAt" msg Timestamp;
    }
    Forwarder {
        name "name" one String;
        enable "enable" one bool;
        r#type "type" one String;
        address "address" one String;
        options "options" opt ForwarderOptions;
    }
    ForwarderOptions {
        timeout "timeout" one i64;
        metadata "metadata" msg Struct;
    }
    AutoscalingInfo {
        enabled "enabled" one bool;
        min "min" one i32;
        max "max" one i32;
        cooldown "cooldown" one i32;
    }
    SchedulerInfo {
        name "name" one String;
        game "game" one String;
        state "state" one String;
        rooms_replicas "roomsReplicas" one i32;
        rooms_ready "roomsReady" one i32;
        rooms_occupied "roomsOccupied" one i32;
        rooms_pending "roomsPending" one i32;
        rooms_terminating "roomsTerminating" one i32;
        autoscaling "autoscaling" msg AutoscalingInfo;
        match_allocation "matchAllocation" opt MatchAllocation;
    }
}
