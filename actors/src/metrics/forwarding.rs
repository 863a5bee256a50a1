//! Outcomes of events of rooms and players (contract 6.5, 9).

use super::scrape::{Scrape, Seen};
use crate::forwarding::{Counts, Outcomes, is_success};
use maestro_metrics::MetricKind;
use std::collections::BTreeMap;

pub(super) fn render(scrape: &mut Scrape, outcomes: &Outcomes) {
    let of = |seen: &Seen| outcomes.of(seen.name());
    let all: Vec<_> = scrape.all.iter().map(of).collect();
    let room = "Events of rooms that a forwarder";
    let player = "Events of players that a forwarder";
    for (name, help, success, of) in [
        (
            "maestro_api_success_room_event_forwarding_total",
            format!("{room} took (counter)"),
            true,
            (|counts: &Counts| &counts.room) as fn(&Counts) -> &BTreeMap<String, u64>,
        ),
        (
            "maestro_api_failed_room_event_forwarding_total",
            format!("{room} did not take (counter)"),
            false,
            |counts| &counts.room,
        ),
        (
            "maestro_api_success_player_event_forwarding_total",
            format!("{player} took (counter)"),
            true,
            |counts| &counts.player,
        ),
        (
            "maestro_api_failed_player_event_forwarding_total",
            format!("{player} did not take (counter)"),
            false,
            |counts| &counts.player,
        ),
    ] {
        let mut family = scrape.page.family(name, MetricKind::Counter, &help);
        for (seen, counts) in scrape.all.iter().zip(&all) {
            for (code, count) in counts.iter().flat_map(of) {
                if is_success(code) == success {
                    let labels = [
                        ("game", seen.game()),
                        ("scheduler", seen.name()),
                        ("code", code.as_str()),
                    ];
                    family.value(&labels, *count as f64);
                }
            }
        }
    }
    let mut family = scrape.page.family(
        "maestro_api_failed_ping_forwarding_total",
        MetricKind::Counter,
        "Pings that a forwarder did not take (counter)",
    );
    for (seen, counts) in scrape.all.iter().zip(&all) {
        if let Some(counts) = counts {
            family.value(&[("scheduler", seen.name())], counts.pings_failed as f64);
        }
    }
    let mut family = scrape.page.family(
        "maestro_forwarding_dropped_events_total",
        MetricKind::Counter,
        "Events that were not forwarded because too many waited for their forwarder (counter)",
    );
    for (seen, counts) in scrape.all.iter().zip(&all) {
        for (forwarder, count) in counts.iter().flat_map(|counts| &counts.dropped) {
            let labels = [("scheduler", seen.name()), ("forwarder", forwarder)];
            family.value(&labels, *count as f64);
        }
    }
}
