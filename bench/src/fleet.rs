//! A simulated fleet: the time from nothing to ready, its memory, and a restart.

use crate::api::{self, Api};
use crate::args::FleetArgs;
use crate::processes;
use crate::report::{Report, Table, maybe, median, millis};
use crate::site::{PATIENCE, Site};
use std::time::{Duration, Instant};

/// The pause before memory is read, in which freed memory is returned and pending writes are
/// written.
const SETTLE: Duration = Duration::from_secs(2);
/// The number of schedulers without rooms whose time to `in-sync` is measured.
const EMPTY: usize = 20;
const FLEET: &str = "bench-fleet";

pub async fn run(args: &FleetArgs) -> anyhow::Result<Report> {
    if let Some(rooms) = args.process {
        return processes::run(&args.common, rooms).await;
    }
    let mut report = Report::new(format!("A fleet of {} rooms on paper", args.rooms));
    let mut table = Table::new(["what", "figure"]);
    let mut row = |what: &str, figure: String| table.row([what.into(), figure]);

    let site = Site::simulated(&args.common, &[]).await?;
    row("start → ready to serve, ms", millis(site.server.started_in));
    row(
        "start → first 200 on a new data folder, ms",
        millis(site.server.first_200),
    );
    row(
        "POST → in-sync without rooms, median ms",
        in_sync(&site).await?,
    );
    tokio::time::sleep(SETTLE).await;
    row(
        "resident with empty schedulers, MiB",
        maybe(site.server.resident_mib(), 1),
    );

    let (created, ready) = site
        .ready_fleet(FLEET, args.rooms, args.common.connections)
        .await?;
    row("POST → all rooms created, ms", millis(created));
    row("POST → all rooms ready, ms", millis(ready));
    tokio::time::sleep(SETTLE).await;
    row(
        "resident with the fleet ready, MiB",
        maybe(site.server.resident_mib(), 1),
    );
    let longest = longest_turn_ms(&site.server.internal).await?;
    row("longest turn of its actor, ms", maybe(longest, 2));

    let (site, ended_in) = site.restart().await?;
    row("TERM → ended, ms", millis(ended_in));
    let began = Instant::now();
    row(
        "start → first 200 with its data, ms",
        millis(site.server.first_200),
    );
    row(
        "start → its owner is loaded, ms",
        millis(site.server.started_in),
    );
    // The list contains those from before the restart too.
    site.until_created(2 * u64::from(args.rooms)).await?;
    row(
        "start → rooms replaced, ms",
        millis(site.server.started_in + began.elapsed()),
    );
    let longest = longest_turn_ms(&site.server.internal).await?;
    row("longest turn after the start, ms", maybe(longest, 2));
    row(
        "resident after it, MiB",
        maybe(site.server.resident_mib(), 1),
    );
    report.table(table);
    report.note("rooms on paper do not survive a restart, so all of them are replaced after it");
    site.server.process.stop().await?;
    Ok(report)
}

/// The median time from POST to `in-sync` of schedulers without rooms.
async fn in_sync(site: &Site) -> anyhow::Result<String> {
    let mut api = Api::connect(&site.server.management).await?;
    let mut times = Vec::with_capacity(EMPTY);
    for number in 0..EMPTY {
        let name = format!("bench-empty-{number:02}");
        let began = Instant::now();
        api.create(&api::scheduler(&name, "empty", 0)).await?;
        api.until_in_sync(&name, PATIENCE).await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        if number > 0 {
            api.delete(&name, PATIENCE).await?;
        }
    }
    Ok(format!("{:.2}", median(times)))
}

/// The 99th percentile of the duration of turns of a kind: the worst of all schedulers.
pub async fn turn_p99_us(internal: &str, kind: &str) -> anyhow::Result<Option<u64>> {
    let mut api = Api::connect(internal).await?;
    let view = api.ok("GET", "/debug/actors", None).await?;
    let actors = view["actors"].as_array().into_iter().flatten();
    let times = actors.filter_map(|actor| actor["turn_times"][kind]["p99_us"].as_u64());
    Ok(times.max())
}

/// The longest turn of any scheduler's actor since its start.
pub async fn longest_turn_ms(internal: &str) -> anyhow::Result<Option<f64>> {
    let mut api = Api::connect(internal).await?;
    let view = api.ok("GET", "/debug/actors", None).await?;
    let actors = view["actors"].as_array().into_iter().flatten();
    let schedulers = actors.filter(|actor| actor["kind"] == "scheduler");
    let longest = schedulers.filter_map(|actor| actor["longest_turn_us"].as_u64());
    Ok(longest.max().map(|micros| micros as f64 / 1000.0))
}
