//! Metrics of a fleet, as the original's health controller and metrics reporter export them.

use super::reported::{FleetReport, report_fleets};
use super::scrape::{Scrape, Seen};
use crate::published::Published;
use maestro_core::domain::{Scheduler, SchedulerPhase};
use maestro_metrics::MetricKind;

/// Our states; a state written by another program gets a series of its own.
const STATES: [SchedulerPhase; 4] = [
    SchedulerPhase::Creating,
    SchedulerPhase::InSync,
    SchedulerPhase::OnError,
    SchedulerPhase::Terminating,
];

/// Ends that alerts refer to: their series exist from the start, so that the first end is an increase.
const ALERTED: [&str; 4] = ["failed", "killed", "restarted", "expired_room"];

/// `reports`: also as the metrics reporter does.
pub(super) fn render(scrape: &mut Scrape, reports: bool) {
    states(scrape);
    ends(scrape);
    scrape.counters(
        "maestro_allocations_unprotected_total",
        "Rooms that were given to a caller before they were protected from evictions (counter)",
        &[],
        |counters| &counters.given_unprotected,
    );
    health(scrape);
    if reports {
        let fleets: Vec<_> = scrape.all.iter().filter_map(reported).collect();
        report_fleets(&mut scrape.page, &fleets);
    }
}

/// `None` for a scheduler that is deleted, or has not been loaded yet.
fn reported(seen: &Seen) -> Option<FleetReport> {
    let figures = &seen.published.as_deref().filter(|_| !seen.gone)?.figures;
    Some(FleetReport {
        scheduler: figures.scheduler.clone()?,
        rooms: figures.rooms,
        instances: figures.instances,
        running_matches: figures.running_matches,
    })
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

fn scheduler(seen: &Published) -> Option<&Scheduler> {
    seen.figures.scheduler.as_deref()
}
