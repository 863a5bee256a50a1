//! Whole schedulers: as requests describe them, and in the four forms in which the API shows them (contract 2.3).

use std::collections::BTreeMap;

use maestro_core::domain::{MatchAllocation, RoomStatus, Scheduler, SchedulerVersion};
use maestro_core::ports::{RoomCounts, VersionRow};

use super::{TooDeep, forwarder, scaling, spec};
use crate::codec::messages;

/// The common fields of the requests that create a scheduler and that replace it with a new version.
pub struct Wanted {
    /// The scheduler's name.
    pub name: String,
    /// The game that it belongs to.
    pub game: String,
    /// The specification of a room.
    pub spec: Option<messages::Spec>,
    /// Range of the rooms' host ports.
    pub port_range: Option<messages::PortRange>,
    /// Rooms allowed beyond the desired number during a rolling update: a number or a percentage.
    pub max_surge: String,
    /// Desired number of rooms while autoscaling is off.
    pub rooms_replicas: i32,
    /// The autoscaling policy with its bounds.
    pub autoscaling: Option<messages::Autoscaling>,
    /// Receivers of events.
    pub forwarders: Vec<messages::Forwarder>,
    /// Arbitrary texts, stored unchanged.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Arbitrary texts, stored unchanged.
    pub labels: Option<BTreeMap<String, String>>,
    /// How many matches a room plays at a time.
    pub match_allocation: Option<messages::MatchAllocation>,
}

macro_rules! wanted_from {
    ($($request:ident),*) => {$(
        impl From<messages::$request> for Wanted {
            fn from(request: messages::$request) -> Self {
                Self {
                    name: request.name,
                    game: request.game,
                    spec: request.spec,
                    port_range: request.port_range,
                    max_surge: request.max_surge,
                    rooms_replicas: request.rooms_replicas,
                    autoscaling: request.autoscaling,
                    forwarders: request.forwarders,
                    annotations: request.annotations,
                    labels: request.labels,
                    match_allocation: request.match_allocation,
                }
            }
        }
    )*};
}

wanted_from!(CreateSchedulerRequest, NewSchedulerVersionRequest);

/// The scheduler that a request describes; its owner sets state, version and times.
///
/// # Errors
/// When a free document in it is nested too deeply to be stored.
pub fn to_domain(request: impl Into<Wanted>) -> Result<Scheduler, TooDeep> {
    let request = request.into();
    let matches = request.match_allocation.map(scaling::matches_to_domain);
    Ok(Scheduler {
        name: request.name.into(),
        // The original's database column holds no NUL: it drops them silently (contract 15.20).
        game: request.game.replace('\0', ""),
        spec: spec::to_domain(request.spec.unwrap_or_default()),
        port_range: request.port_range.map(spec::range_to_domain),
        max_surge: request.max_surge.into(),
        rooms_replicas: request.rooms_replicas,
        autoscaling: request.autoscaling.map(scaling::to_domain),
        forwarders: Some(forwarder::to_domain(request.forwarders)?),
        annotations: request.annotations,
        labels: request.labels,
        match_allocation: Some(matches.unwrap_or_default()),
        ..Scheduler::default()
    })
}

/// A scheduler as the API shows it.
pub fn scheduler(scheduler: &Scheduler) -> messages::Scheduler {
    messages::Scheduler {
        name: scheduler.name.to_string(),
        game: scheduler.game.clone(),
        state: scheduler.state.to_string(),
        port_range: scheduler.port_range.map(spec::range_to_message),
        created_at: Some(scheduler.created_at),
        max_surge: scheduler.max_surge.to_string(),
        rooms_replicas: scheduler.rooms_replicas,
        spec: spec::to_message(&scheduler.spec),
        autoscaling: scheduler.autoscaling.as_ref().map(scaling::to_message),
        forwarders: scheduler
            .forwarders()
            .iter()
            .map(forwarder::to_message)
            .collect(),
        annotations: scheduler.annotations.clone(),
        labels: scheduler.labels.clone(),
        match_allocation: scheduler.match_allocation.map(scaling::matches_to_message),
    }
}

/// A scheduler as a listing shows it.
pub fn without_spec(scheduler: &Scheduler) -> messages::SchedulerWithoutSpec {
    messages::SchedulerWithoutSpec {
        name: scheduler.name.to_string(),
        game: scheduler.game.clone(),
        state: scheduler.state.to_string(),
        version: scheduler.version().to_string(),
        port_range: scheduler.port_range.map(spec::range_to_message),
        created_at: Some(scheduler.created_at),
        max_surge: scheduler.max_surge.to_string(),
        rooms_replicas: scheduler.rooms_replicas,
        match_allocation: scheduler.match_allocation.map(scaling::matches_to_message),
    }
}

/// Counts have 64 bits in memory and 32 on the wire. The default of one match per room is omitted, as in the original.
pub fn info(scheduler: &Scheduler, rooms: RoomCounts) -> messages::SchedulerInfo {
    let count = |status| i32::try_from(rooms.of(status)).unwrap_or(i32::MAX);
    let matches = scheduler
        .match_allocation
        .filter(|matches| *matches != MatchAllocation::default());
    messages::SchedulerInfo {
        name: scheduler.name.to_string(),
        game: scheduler.game.clone(),
        state: scheduler.state.to_string(),
        rooms_replicas: scheduler.rooms_replicas,
        rooms_ready: count(RoomStatus::Ready),
        rooms_occupied: count(RoomStatus::Occupied),
        rooms_pending: count(RoomStatus::Pending),
        rooms_terminating: count(RoomStatus::Terminating),
        autoscaling: scheduler.autoscaling.as_ref().map(scaling::info_to_message),
        match_allocation: matches.map(scaling::matches_to_message),
    }
}

/// The versions of a scheduler, and which one is active.
pub fn versions(rows: &[VersionRow], active: &SchedulerVersion) -> Vec<messages::SchedulerVersion> {
    rows.iter()
        .map(|row| messages::SchedulerVersion {
            version: row.version.to_string(),
            is_active: row.version == *active,
            created_at: Some(row.created_at),
        })
        .collect()
}
