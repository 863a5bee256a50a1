//! Requests and responses of `SchedulersService` (`schedulers.proto`), and ours to add and remove rooms (decision D15).

use super::shared::{
    Autoscaling, Forwarder, MatchAllocation, OptionalAutoscaling, OptionalSpec, PortRange,
    Scheduler, SchedulerInfo, SchedulerVersion, SchedulerWithoutSpec, Spec,
};
use crate::codec::message::{kind, messages, slot};

messages! {
    ListSchedulersRequest {
        /// Only the scheduler of exactly this name.
        name "name" one String;
        /// Only schedulers of exactly this game.
        game "game" one String;
        /// Only schedulers whose active version is exactly this one.
        version "version" one String;
    }
    /// Schedulers as they are now.
    ListSchedulersResponse {
        /// Those that all filters let through.
        schedulers "schedulers" many SchedulerWithoutSpec;
    }
    /// The scheduler as it was stored.
    CreateSchedulerResponse {
        /// In state `creating` until its operation has run.
        scheduler "scheduler" msg Scheduler;
    }
    /// A new fleet of rooms.
    CreateSchedulerRequest {
        /// Name of the scheduler: 1 to 63 of a-z, 0-9 and '-', not beginning or ending with '-'.
        name "name" one String;
        /// The game that the fleet belongs to; free text, to filter by. Required.
        game "game" one String;
        /// What a room is made of. Required.
        spec "spec" msg Spec;
        /// Host ports that rooms get theirs from. Leave it out when every port of every container has a hostPortRange.
        port_range "portRange" opt PortRange;
        /// How many rooms a rolling update may have beyond the wanted number: a number (`2`) or a share of it (`10%`).
        /// Required.
        max_surge "maxSurge" one String;
        /// How many rooms there are to be while no autoscaling is on.
        rooms_replicas "roomsReplicas" one i32;
        /// Sets the number of rooms by the load instead.
        autoscaling "autoscaling" opt Autoscaling;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder;
        /// Free texts that are kept with the scheduler and its rooms.
        annotations "annotations" map String;
        /// Like annotations, to select by.
        labels "labels" map String;
        /// How many matches one room plays at a time; one when it is left out.
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    GetSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
        /// A version of it, as `v1.2.0`; the active one when it is left out.
        version "version" one String;
    }
    /// One scheduler.
    GetSchedulerResponse {
        /// At the version that was asked for.
        scheduler "scheduler" msg Scheduler;
    }
    /// The whole scheduler as it is to be from now on: what is left out is gone.
    NewSchedulerVersionRequest {
        /// Name of the scheduler.
        name "name" one String;
        /// The game that the fleet belongs to; free text, to filter by. Required.
        game "game" one String;
        /// What a room is made of. Required.
        spec "spec" msg Spec;
        /// Host ports that rooms get theirs from. Leave it out when every port of every container has a hostPortRange.
        port_range "portRange" msg PortRange;
        /// How many rooms a rolling update may have beyond the wanted number: a number (`2`) or a share of it (`10%`).
        /// Required.
        max_surge "maxSurge" one String;
        /// How many rooms there are to be while no autoscaling is on.
        rooms_replicas "roomsReplicas" one i32;
        /// Sets the number of rooms by the load instead.
        autoscaling "autoscaling" opt Autoscaling;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder;
        /// Free texts that are kept with the scheduler and its rooms.
        annotations "annotations" map String;
        /// Like annotations, to select by.
        labels "labels" map String;
        /// How many matches one room plays at a time; one when it is left out.
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    /// A new version was ordered.
    NewSchedulerVersionResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String;
    }
    /// What is to change. What is left out stays.
    PatchSchedulerRequest {
        /// Name of the scheduler.
        name "name" one String;
        /// Changes of what a room is made of.
        spec "spec" opt OptionalSpec;
        /// Replaces the whole range.
        port_range "portRange" opt PortRange;
        /// How many rooms a rolling update may have beyond the wanted number: a number (`2`) or a share of it (`10%`).
        max_surge "maxSurge" opt String;
        /// How many rooms there are to be while no autoscaling is on.
        rooms_replicas "roomsReplicas" opt i32;
        /// Changes of the autoscaling; each field on its own, the policy as a whole.
        autoscaling "autoscaling" opt OptionalAutoscaling;
        /// Replaces all forwarders. An empty list changes nothing.
        forwarders "forwarders" many Forwarder;
        /// Replaces all annotations; `{}` takes them away.
        annotations "annotations" map String;
        /// Replaces all labels; `{}` takes them away.
        labels "labels" map String;
        /// How many matches one room plays at a time.
        match_allocation "matchAllocation" opt MatchAllocation;
    }
    /// A new version was ordered.
    PatchSchedulerResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String;
    }
    GetSchedulerVersionsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
    }
    /// The versions of a scheduler.
    GetSchedulerVersionsResponse {
        /// Newest first.
        versions "versions" many SchedulerVersion;
    }
    SwitchActiveVersionRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
        /// The version to make active, as `v1.2.0`. Required.
        version "version" one String;
    }
    /// The switch was ordered. A version that does not exist makes the operation end in `error`.
    SwitchActiveVersionResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String;
    }
    GetSchedulersInfoRequest {
        /// Only schedulers of exactly this game.
        game "game" one String;
    }
    /// Counts of rooms.
    GetSchedulersInfoResponse {
        /// One entry per scheduler.
        schedulers "schedulers" many SchedulerInfo;
    }
    DeleteSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
    }
    /// The deletion was ordered.
    DeleteSchedulerResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String;
    }
    AddRoomsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
        /// How many rooms, at least 1. Required.
        amount "amount" one i32;
    }
    /// The rooms were ordered.
    AddRoomsResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String;
    }
    RemoveRoomsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String;
        /// How many rooms, at least 1; rooms with a match go when it has ended. Required.
        amount "amount" one i32;
    }
    /// The removal was ordered.
    RemoveRoomsResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String;
    }
}
