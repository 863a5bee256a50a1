//! Requests and responses of `SchedulersService` (`schedulers.proto`).

use super::shared::{
    Autoscaling, Forwarder, MatchAllocation, OptionalAutoscaling, OptionalSpec, PortRange,
    Scheduler, SchedulerInfo, SchedulerVersion, SchedulerWithoutSpec, Spec,
};
use crate::codec::macros::{kind, messages, slot};

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
        /// The schedulers that match all filters.
        schedulers "schedulers" many SchedulerWithoutSpec = 1;
    }
    /// The scheduler as it was stored.
    CreateSchedulerResponse {
        /// In state `creating` until its operation has ended.
        scheduler "scheduler" msg Scheduler = 1;
    }
    /// A new fleet of rooms.
    CreateSchedulerRequest {
        /// Name of the scheduler: 1 to 63 of a-z, 0-9 and '-', not beginning or ending with '-'.
        name "name" one String = 1;
        /// The game that the fleet belongs to: a text of at most 255 characters, to filter by. Required.
        game "game" one String = 2;
        /// The specification of a room. Required.
        spec "spec" msg Spec = 3;
        /// Range of the rooms' host ports. May be left out if every port of every container has a `hostPortRange`.
        port_range "portRange" opt PortRange = 4;
        /// Maximum number of rooms beyond the desired number during a rolling update: a number (`2`) or a percentage
        /// (`10%`). Required.
        max_surge "maxSurge" one String = 5;
        /// Desired number of rooms while autoscaling is off.
        rooms_replicas "roomsReplicas" one i32 = 6;
        /// Sets the number of rooms according to the load instead.
        autoscaling "autoscaling" opt Autoscaling = 7;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder = 8;
        /// Arbitrary texts that are stored with the scheduler and its rooms.
        annotations "annotations" map String = 9;
        /// Like annotations, but meant to select by.
        labels "labels" map String = 10;
        /// How many matches a room plays at a time; the default is one.
        match_allocation "matchAllocation" opt MatchAllocation = 11;
    }
    GetSchedulerRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// The version to read, such as `v1.2.0`; the default is the active one.
        version "version" one String = 2;
    }
    /// One scheduler.
    GetSchedulerResponse {
        /// The scheduler at the requested version.
        scheduler "scheduler" msg Scheduler = 1;
    }
    /// The complete new definition of the scheduler: fields that are left out are removed.
    NewSchedulerVersionRequest {
        /// Name of the scheduler.
        name "name" one String = 1;
        /// The game that the fleet belongs to: a text of at most 255 characters, to filter by. Required.
        game "game" one String = 2;
        /// The specification of a room. Required.
        spec "spec" msg Spec = 3;
        /// Range of the rooms' host ports. May be left out if every port of every container has a `hostPortRange`.
        port_range "portRange" msg PortRange = 4;
        /// Maximum number of rooms beyond the desired number during a rolling update: a number (`2`) or a percentage
        /// (`10%`). Required.
        max_surge "maxSurge" one String = 5;
        /// Desired number of rooms while autoscaling is off.
        rooms_replicas "roomsReplicas" one i32 = 6;
        /// Sets the number of rooms according to the load instead.
        autoscaling "autoscaling" opt Autoscaling = 7;
        /// Where the events of rooms and players go.
        forwarders "forwarders" many Forwarder = 8;
        /// Arbitrary texts that are stored with the scheduler and its rooms.
        annotations "annotations" map String = 9;
        /// Like annotations, but meant to select by.
        labels "labels" map String = 10;
        /// How many matches a room plays at a time; the default is one.
        match_allocation "matchAllocation" opt MatchAllocation = 11;
    }
    /// A new version was ordered.
    NewSchedulerVersionResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 1;
    }
    /// The fields to change. Fields that are left out keep their values.
    PatchSchedulerRequest {
        /// Name of the scheduler.
        name "name" one String = 1;
        /// Changes to the specification of a room.
        spec "spec" opt OptionalSpec = 2;
        /// Replaces the whole range.
        port_range "portRange" opt PortRange = 3;
        /// Maximum number of rooms beyond the desired number during a rolling update: a number (`2`) or a percentage
        /// (`10%`).
        max_surge "maxSurge" opt String = 4;
        /// Desired number of rooms while autoscaling is off.
        rooms_replicas "roomsReplicas" opt i32 = 5;
        /// Changes to the autoscaling: fields are changed one by one, the policy as a whole.
        autoscaling "autoscaling" opt OptionalAutoscaling = 6;
        /// Replaces all forwarders. An empty list changes nothing.
        forwarders "forwarders" many Forwarder = 7;
        /// Replaces all annotations; `{}` removes them.
        annotations "annotations" map String = 8;
        /// How many matches a room plays at a time.
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
        /// The versions, newest first.
        versions "versions" many SchedulerVersion = 1;
    }
    SwitchActiveVersionRequest {
        /// Name of the scheduler.
        scheduler_name "schedulerName" one String = 1;
        /// The version to activate, such as `v1.2.0`. Required.
        version "version" one String = 2;
    }
    /// The switch was ordered. If the version does not exist, the operation ends in `error`.
    SwitchActiveVersionResponse {
        /// The operation that does it: its progress is at `GET /schedulers/{schedulerName}/operations/{operationId}`.
        operation_id "operationId" one String = 1;
    }
    GetSchedulersInfoRequest {
        /// Only schedulers of exactly this game.
        game "game" one String = 1;
    }
    /// Room counts.
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
