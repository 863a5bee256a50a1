//! The gauges of the original's metrics reporter. A node renders those of its own schedulers; the module
//! `metrics-reporter` renders those of all, from the stores.

use maestro_core::domain::{Autoscaling, InstanceStatus, PolicyKind, RoomStatus, Scheduler};
use maestro_core::ports::RoomCounts;
use maestro_metrics::{MetricKind, Page};
use std::sync::Arc;

/// Without terminated rooms, which the original did not count: they are gone at once.
const ROOMS: [RoomStatus; 8] = [
    RoomStatus::Ready,
    RoomStatus::Pending,
    RoomStatus::Unready,
    RoomStatus::Terminating,
    RoomStatus::Error,
    RoomStatus::Occupied,
    RoomStatus::Active,
    RoomStatus::Allocated,
];

const INSTANCES: [(InstanceStatus, &str); 5] = [
    (InstanceStatus::Ready, "ready"),
    (InstanceStatus::Pending, "pending"),
    (InstanceStatus::Unknown, "unknown"),
    (InstanceStatus::Terminating, "terminating"),
    (InstanceStatus::Error, "error"),
];

/// A fleet as the metrics reporter sees it.
#[derive(Clone, Debug)]
pub struct FleetReport {
    /// The active version.
    pub scheduler: Arc<Scheduler>,
    /// By status.
    pub rooms: RoomCounts,
    /// By `InstanceStatus as usize`.
    pub instances: [u64; 5],
    /// Matches in all rooms.
    pub running_matches: i64,
}

/// Adds the gauges of these fleets (contract 9, "metrics-reporter").
pub fn report_fleets(page: &mut Page, fleets: &[FleetReport]) {
    let mut gauge = |name: &str, help: &str, of: &dyn Fn(&FleetReport) -> Option<f64>| {
        let mut family = page.family(name, MetricKind::Gauge, help);
        for fleet in fleets {
            let scheduler = &fleet.scheduler;
            let labels = [
                ("game", scheduler.game.as_str()),
                ("scheduler", scheduler.name.as_str()),
            ];
            if let Some(value) = of(fleet) {
                family.value(&labels, value);
            }
        }
    };
    for status in ROOMS {
        let word = status.as_str();
        gauge(
            &format!("maestro_worker_gru_{word}"),
            &format!("Rooms in status {word} (gauge)"),
            &|fleet| Some(fleet.rooms.of(status) as f64),
        );
    }
    for (status, word) in INSTANCES {
        gauge(
            &format!("maestro_worker_instance_{word}"),
            &format!("Instances of rooms in status {word} (gauge)"),
            &|fleet| Some(fleet.instances[status as usize] as f64),
        );
    }
    gauge(
        "maestro_worker_running_matches",
        "Matches that are running (gauge)",
        &|fleet| Some(fleet.running_matches as f64),
    );
    gauge(
        "maestro_worker_max_matches",
        "Matches that one room may have at a time (gauge)",
        &|fleet| Some(fleet.scheduler.max_matches() as f64),
    );
    // Reported even if autoscaling is disabled, as in the original.
    gauge(
        "maestro_worker_ready_target",
        "Share of free matches that the policy roomOccupancy wants (gauge)",
        &|fleet| {
            let policy = &autoscaling(fleet)?.policy;
            let parameters = policy.parameters.room_occupancy.as_ref();
            let own = policy.kind == PolicyKind::RoomOccupancy;
            parameters.filter(|_| own).map(|p| p.ready_target)
        },
    );
    gauge(
        "maestro_worker_fixed_buffer",
        "Free rooms that the policy fixedBuffer wants (gauge)",
        &|fleet| {
            let policy = &autoscaling(fleet)?.policy;
            let parameters = policy.parameters.fixed_buffer.as_ref();
            let own = policy.kind == PolicyKind::FixedBuffer;
            parameters.filter(|_| own).map(|p| f64::from(p.amount))
        },
    );
}

fn autoscaling(fleet: &FleetReport) -> Option<&Autoscaling> {
    fleet.scheduler.autoscaling.as_ref()
}
