//! What the original's health controller and metrics reporter say of a fleet.

use super::Scrape;
use crate::debug::Published;
use maestro_core::domain::{Autoscaling, InstanceStatus, RoomStatus, Scheduler};

/// Terminated rooms had no gauge; they are gone at once.
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

pub(super) fn render(scrape: &mut Scrape) {
    health(scrape);
    for status in ROOMS {
        let word = status.as_str();
        scrape.gauges(
            &format!("maestro_worker_gru_{word}"),
            &format!("Rooms in status {word} (gauge)"),
            |seen| Some(seen.figures.rooms.of(status) as f64),
        );
    }
    for (status, word) in INSTANCES {
        scrape.gauges(
            &format!("maestro_worker_instance_{word}"),
            &format!("Instances of rooms in status {word} (gauge)"),
            |seen| Some(seen.figures.instances[status as usize] as f64),
        );
    }
    matches(scrape);
}

fn health(scrape: &mut Scrape) {
    scrape.gauges(
        "maestro_worker_desired_rooms",
        "Rooms that there should be (gauge)",
        |seen| seen.figures.desired.map(|rooms| rooms as f64),
    );
    scrape.gauges(
        "maestro_worker_current_rooms",
        "Rooms that count toward the desired ones (gauge)",
        |seen| Some(seen.figures.available as f64),
    );
    scrape.gauges(
        "maestro_worker_rooms_with_termination_timeout",
        "Rooms that did not end in time, before the last health run (gauge)",
        |seen| Some(seen.figures.ends.timed_out as f64),
    );
    scrape.gauges(
        "maestro_worker_rooms_properly_terminated",
        "Rooms that ended as they were told to, before the last health run (gauge)",
        |seen| Some(seen.figures.ends.properly as f64),
    );
}

fn matches(scrape: &mut Scrape) {
    scrape.gauges(
        "maestro_worker_running_matches",
        "Matches that are running (gauge)",
        |seen| Some(seen.figures.running_matches as f64),
    );
    scrape.gauges(
        "maestro_worker_max_matches",
        "Matches that one room may have at a time (gauge)",
        |seen| scheduler(seen).map(|s| s.max_matches() as f64),
    );
    // Whether the autoscaling is enabled or not, as in the original.
    scrape.gauges(
        "maestro_worker_ready_target",
        "Share of free matches that the policy roomOccupancy wants (gauge)",
        |seen| {
            let policy = &autoscaling(seen)?.policy;
            let parameters = policy.parameters.room_occupancy.as_ref();
            let own = policy.kind == "roomOccupancy";
            parameters.filter(|_| own).map(|p| p.ready_target)
        },
    );
    scrape.gauges(
        "maestro_worker_fixed_buffer",
        "Free rooms that the policy fixedBuffer wants (gauge)",
        |seen| {
            let policy = &autoscaling(seen)?.policy;
            let parameters = policy.parameters.fixed_buffer.as_ref();
            let own = policy.kind == "fixedBuffer";
            parameters.filter(|_| own).map(|p| f64::from(p.amount))
        },
    );
}

fn scheduler(seen: &Published) -> Option<&Scheduler> {
    seen.figures.scheduler.as_deref()
}

fn autoscaling(seen: &Published) -> Option<&Autoscaling> {
    scheduler(seen)?.autoscaling.as_ref()
}
