//! Metrics of a fleet, as the original's health controller and metrics reporter export them.

use super::scrape::Scrape;
use crate::published::Published;
use maestro_core::domain::{
    Autoscaling, InstanceStatus, PolicyKind, RoomStatus, Scheduler, SchedulerPhase,
};
use maestro_metrics::MetricKind;

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

/// Our states; a state written by another program gets a series of its own.
const STATES: [SchedulerPhase; 4] = [
    SchedulerPhase::Creating,
    SchedulerPhase::InSync,
    SchedulerPhase::OnError,
    SchedulerPhase::Terminating,
];

/// Ends that alerts refer to: their series exist from the start, so that the first end is an increase.
const ALERTED: [&str; 4] = ["failed", "killed", "restarted", "expired_room"];

pub(super) fn render(scrape: &mut Scrape) {
    states(scrape);
    ends(scrape);
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

fn states(scrape: &mut Scrape) {
    let there = || scrape.all.iter().filter(|seen| !seen.gone);
    let mut family = scrape.page.family(
        "maestro_scheduler_state",
        MetricKind::Gauge,
        "1 for the state that a scheduler is in, 0 for the others (gauge)",
    );
    for seen in there() {
        let scheduler = seen.published.as_deref().and_then(scheduler);
        let Some(state) = scheduler.map(|s| &s.state) else {
            continue;
        };
        let foreign = (!STATES.contains(state)).then_some(state);
        for word in STATES.iter().chain(foreign) {
            let labels = [("scheduler", seen.name()), ("state", word.as_str())];
            family.value(&labels, f64::from(u8::from(word == state)));
        }
    }
    let mut family = scrape.page.family(
        "maestro_scheduler_paused",
        MetricKind::Gauge,
        "1 while a scheduler is held by an operator or by workers.paused (gauge)",
    );
    for seen in there() {
        if let Some(published) = seen.published.as_deref() {
            let paused = f64::from(u8::from(published.figures.paused));
            family.value(&[("scheduler", seen.name())], paused);
        }
    }
}

fn ends(scrape: &mut Scrape) {
    let mut family = scrape.page.family(
        "maestro_rooms_ended_total",
        MetricKind::Counter,
        "Rooms that ended, and containers that were started again in place (counter)",
    );
    for seen in &scrape.all {
        let mut ended = seen.counters().operations().rooms_ended;
        for reason in ALERTED {
            ended.entry(reason).or_default();
        }
        for (reason, rooms) in ended {
            let labels = [("scheduler", seen.name()), ("reason", reason)];
            family.value(&labels, rooms as f64);
        }
    }
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
    // Reported even if autoscaling is disabled, as in the original.
    scrape.gauges(
        "maestro_worker_ready_target",
        "Share of free matches that the policy roomOccupancy wants (gauge)",
        |seen| {
            let policy = &autoscaling(seen)?.policy;
            let parameters = policy.parameters.room_occupancy.as_ref();
            let own = policy.kind == PolicyKind::RoomOccupancy;
            parameters.filter(|_| own).map(|p| p.ready_target)
        },
    );
    scrape.gauges(
        "maestro_worker_fixed_buffer",
        "Free rooms that the policy fixedBuffer wants (gauge)",
        |seen| {
            let policy = &autoscaling(seen)?.policy;
            let parameters = policy.parameters.fixed_buffer.as_ref();
            let own = policy.kind == PolicyKind::FixedBuffer;
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
