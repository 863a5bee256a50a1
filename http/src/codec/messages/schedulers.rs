//! Requests and responses of `SchedulersService` (`schedulers.proto`), and ours to add and remove rooms (decision D15).

use super::shared::{
    Autoscaling, Forwarder, MatchAllocation, OptionalAutoscaling, OptionalSpec, PortRange,
    Scheduler, SchedulerInfo, SchedulerVersion, SchedulerWithoutSpec, Spec,
};
use crate::codec::message::{messages, slot};

messages! {
    ListSchedulersRequest {
        name "name" one String;
        game "game" one String;
        version "version" one String;
    }
    ListSchedulersResponse {
        schedulers "schedulers" many SchedulerWithoutSpec;
    }
    CreateSchedulerResponse {
        scheduler "scheduler" msg Scheduler;
    }
    CreateSchedulerRequest {
        name "name" one String;
        game "game" one String;
        spec "spec" msg Spec;
        port_range "portRange" opt PortRange;
        max_surge "maxSurge" one String;
        rooms_replicas "roomsReplicas" one i32;
        autoscaling "autoscaling" opt Autoscaling;
        forwarders "forwarders" many Forwarder;
        annotations "annotations" map String;
        labels "labels" map String;
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    GetSchedulerRequest {
        scheduler_name "schedulerName" one String;
        version "version" one String;
    }
    GetSchedulerResponse {
        scheduler "scheduler" msg Scheduler;
    }
    NewSchedulerVersionRequest {
        name "name" one String;
        game "game" one String;
        spec "spec" msg Spec;
        port_range "portRange" msg PortRange;
        max_surge "maxSurge" one String;
        rooms_replicas "roomsReplicas" one i32;
        autoscaling "autoscaling" opt Autoscaling;
        forwarders "forwarders" many Forwarder;
        annotations "annotations" map String;
        labels "labels" map String;
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    NewSchedulerVersionResponse {
        operation_id "operationId" one String;
    }
    PatchSchedulerRequest {
        name "name" one String;
        spec "spec" opt OptionalSpec;
        port_range "portRange" opt PortRange;
        max_surge "maxSurge" opt String;
        rooms_replicas "roomsReplicas" opt i32;
        autoscaling "autoscaling" opt OptionalAutoscaling;
        forwarders "forwarders" many Forwarder;
        annotations "annotations" map String;
        labels "labels" map String;
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    PatchSchedulerResponse {
        operation_id "operationId" one String;
    }
    GetSchedulerVersionsRequest {
        scheduler_name "schedulerName" one String;
    }
    GetSchedulerVersionsResponse {
        versions "versions" many SchedulerVersion;
    }
    SwitchActiveVersionRequest {
        scheduler_name "schedulerName" one String;
        version "version" one String;
    }
    SwitchActiveVersionResponse {
        operation_id "operationId" one String;
    }
    GetSchedulersInfoRequest {
        game "game" one String;
    }
    GetSchedulersInfoResponse {
        schedulers "schedulers" many SchedulerInfo;
    }
    DeleteSchedulerRequest {
        scheduler_name "schedulerName" one String;
    }
    DeleteSchedulerResponse {
        operation_id "operationId" one String;
    }
    AddRoomsRequest {
        scheduler_name "schedulerName" one String;
        amount "amount" one i32;
    }
    AddRoomsResponse {
        operation_id "operationId" one String;
    }
    RemoveRoomsRequest {
        scheduler_name "schedulerName" one String;
        amount "amount" one i32;
    }
    RemoveRoomsResponse {
        operation_id "operationId" one String;
    }
}
