//! Whole schedulers: wanted by a request, and shown in the four forms of the API (contract 2.3).

use std::collections::BTreeMap;

use maestro_core::domain::{MatchAllocation, RoomStatus, Scheduler, SchedulerVersion};
use maestro_core::ports::{RoomCounts, VersionRow};

use super::{TooDeep, forwarder, scaling, spec};
use crate::codec::messages;

/// What creating a scheduler and replacing it by a new version ask alike.
pub struct Wanted {
    /// The scheduler.
    pub name: String,
    /// What it is of.
    pub game: String,
    /// What a room is made of.
    pub spec: Option<messages::Spec>,
    /// Where host ports come from.
    pub port_range: Option<messages::PortRange>,
    /// Rooms beyond the wanted ones in a rolling update: a number or a percentage.
    pub max_surge: String,
    /// How many rooms are wanted.
    pub rooms_replicas: i32,
    /// How that number follows the matches.
    pub autoscaling: Option<messages::Autoscaling>,
    /// Who is told of events.
    pub forwarders: Vec<messages::Forwarder>,
    /// Free texts, kept as they are.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Free texts, kept as they are.
    pub labels: Option<BTreeMap<String, String>>,
    /// How many matches a room takes.
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

/// The scheduler that a request describes; its owner sets state, version and moments.
///
/// # Errors
/// When a free document in it is nested too deeply to be stored.
pub fn to_domain(request: impl Into<Wanted>) -> Result<Scheduler, TooDeep> {
    let request = request.into();
    let matches = request.match_allocation.map(scaling::matches_to_domain);
    Ok(Scheduler {
        name: request.name.into(),
        // Its column holds no NUL: the original drops them silently (contract 15.20).
        game: request.game.replace('\0', ""),
        spec: spec::to_domain(request.spec.unwrap_or_default()),
        port_range: request.port_range.map(spec::range_to_domain),
        max_surge: request.max_surge.into(),
        rooms_replicas: request.rooms_replicas,
        autoscaling: request.autoscaling.map(scaling::to_domain),
        forwarders: forwarder::to_domain(request.forwarders)?,
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
            .forwarders
            .iter()
            .map(forwarder::to_message)
            .collect(),
        annotations: scheduler.annotations.clone(),
        labels: scheduler.labels.clone(),
        match_allocation: scheduler.match_allocation.map(scaling::matches_to_message),
    }
}

/// A scheduler as listings show it.
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

/// Counts are 64 bits in memory and 32 on the wire. One match per room goes unsaid, as it always did.
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

/// The versions of a scheduler, and which is active.
pub fn versions(rows: &[VersionRow], active: &SchedulerVersion) -> Vec<messages::SchedulerVersion> {
    rows.iter()
        .map(|row| messages::SchedulerVersion {
            version: row.version.to_string(),
            is_active: row.version == *active,
            created_at: Some(row.created_at),
        })
        .collect()
}
