//! Requests and responses of `SchedulersService` (`schedulers.proto`), and ours to add and remove rooms (decision D15).

use super::shared::{
    Autoscaling, Forwarder, MatchAllocation, OptionalAutoscaling, OptionalSpec, PortRange,
    Scheduler, SchedulerInfo, SchedulerVersion, SchedulerWithoutSpec, Spec,
};
use crate::codec::message::{kind, messages, slot};

messages! {
    ListSchedulersRequest {
        /// Only the scheduler of exactly this name.
        name "name" one String = 1;
        /// Only schedulers of exactly this game.
        game "game" one String = 2;
        /// Only schedulers whose active version is exactly this one.
        version "version" one String = 3;
    }
    /// Schedulers as they are now.
    ListSchedulersResponse {
        /// Those that all filters let through.
        schedulers "schedulers" many SchedulerWithoutSpec = 1;
    }
    /// The scheduler as it was stored.
    CreateSchedulerResponse {
        /// In state `creating` until its operation has run.
        scheduler "scheduler" msg Scheduler = 1;
    }
    /// A new fleet of rooms.
    CreateSchedulerRequest {
        /// Name of the scheduler: 1 to 63 of a-z, 0-9 and '-', not beginning or ending with '-'.
        name "name" one String = 1;
        /// The game that the fleet belongs to: a text of at most 255 characters, to filter by. Required.
        game "game" one String = 2;
        /// What a room is made of. Required.
        spec "spec" msg Spec = 3;
        /// Host ports that rooms get theirs from. Leave it out when every port of every container has a hostPortRange.
        port_range "portRange" opt PortRange = 4;
        /// How many rooms a rolling update may have beyond the wanted number: a number (`2`) or a share of it (`10%`).
        /// Required.
        max_surge "maxSurge" one String = 5;
        /// How many rooms there are to be while no autoscaling is on.
        rooms_replicas "roomsReplicas" one i32 = 6;
        /// Sets the number of rooms by the load instead.
        autoscaling "autoscaling" opt Autoscaling = 7;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder = 8;
        /// Free texts that are kept with the scheduler and its rooms.
        annotations "annotations" map String = 9;
        /// Like annotations, to select by.
        labels "labels" map String = 10;
        /// How many matches one room plays at a time; one when it is left out.
        match_allocation "matchAllocation" opt MatchAllocation = 11;
    }
    GetSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// A version of it, as `v1.2.0`; the active one when it is left out.
        version "version" one String = 2;
    }
    /// One scheduler.
    GetSchedulerResponse {
        /// At the version that was asked for.
        scheduler "scheduler" msg Scheduler = 1;
    }
    /// The whole scheduler as it is to be from now on: what is left out is gone.
    NewSchedulerVersionRequest {
        /// Name of the scheduler.
        name "name" one String = 1;
        /// The game that the fleet belongs to: a text of at most 255 characters, to filter by. Required.
        game "game" one String = 2;
        /// What a room is made of. Required.
        spec "spec" msg Spec = 3;
        /// Host ports that rooms get theirs from. Leave it out when every port of every container has a hostPortRange.
        port_range "portRange" msg PortRange = 4;
        /// How many rooms a rolling update may have beyond the wanted number: a number (`2`) or a share of it (`10%`).
        /// Required.
        max_surge "maxSurge" one String = 5;
        /// How many rooms there are to be while no autoscaling is on.
        rooms_replicas "roomsReplicas" one i32 = 6;
        /// Sets the number of rooms by the load instead.
        autoscaling "autoscaling" opt Autoscaling = 7;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder = 8;
        /// Free texts that are kept with the scheduler and its rooms.
        annotations "annotations" map String = 9;
        /// Like annotations, to select by.
        labels "labels" map String = 10;
        /// How many matches one room plays at a time; one when it is left out.
        match_allocation "matchAllocation" opt MatchAllocation = 11;
    }
    /// A new version was ordered.
    NewSchedulerVersionResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 1;
    }
    /// What is to change. What is left out stays.
    PatchSchedulerRequest {
        /// Name of the scheduler.
        name "name" one String = 1;
        /// Changes of what a room is made of.
        spec "spec" opt OptionalSpec = 2;
        /// Replaces the whole range.
        port_range "portRange" opt PortRange = 3;
        /// How many rooms a rolling update may have beyond the wanted number: a number (`2`) or a share of it (`10%`).
        max_surge "maxSurge" opt String = 4;
        /// How many rooms there are to be while no autoscaling is on.
        rooms_replicas "roomsReplicas" opt i32 = 5;
        /// Changes of the autoscaling; each field on its own, the policy as a whole.
        autoscaling "autoscaling" opt OptionalAutoscaling = 6;
        /// Replaces all forwarders. An empty list changes nothing.
        forwarders "forwarders" many Forwarder = 7;
        /// Replaces all annotations; `{}` takes them away.
        annotations "annotations" map String = 8;
        /// Replaces all labels; `{}` takes them away.
        labels "labels" map String = 9;
        /// How many matches one room plays at a time.
        match_allocation "matchAllocation" opt MatchAllocation = 10;
    }
    /// A new version was ordered.
    PatchSchedulerResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 1;
    }
    GetSchedulerVersionsRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
    }
    /// The versions of a scheduler.
    GetSchedulerVersionsResponse {
        /// Newest first.
        versions "versions" many SchedulerVersion = 1;
    }
    SwitchActiveVersionRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// The version to make active, as `v1.2.0`. Required.
        version "version" one String = 2;
    }
    /// The switch was ordered. A version that does not exist makes the operation end in `error`.
    SwitchActiveVersionResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 1;
    }
    GetSchedulersInfoRequest {
        /// Only schedulers of exactly this game.
        game "game" one String = 1;
    }
    /// Counts of rooms.
    GetSchedulersInfoResponse {
        /// One entry per scheduler.
        schedulers "schedulers" many SchedulerInfo = 1;
    }
    DeleteSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
    }
    /// The deletion was ordered.
    DeleteSchedulerResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 1;
    }
}
