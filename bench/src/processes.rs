//! Measures real room processes: the time from nothing to ready, the replacement of a crashed room, and a restart that
//! adopts them.

use crate::api::{self, Api};
use crate::args::Common;
use crate::report::{Report, Table, millis};
use crate::site::{PATIENCE, Site};
use anyhow::{Context, bail};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

const FLEET: &str = "bench-process";
/// The number of crashes whose replacement is measured.
const CRASHES: usize = 5;

pub async fn run(common: &Common, rooms: u32) -> anyhow::Result<Report> {
    let mut report = Report::new(format!("A fleet of {rooms} room processes"));
    let mut table = Table::new(["what", "figure"]);
    let site = Site::with(common, Vec::new()).await?;
    let wanted = u64::from(rooms);
    let mut api = Api::connect(&site.server.management).await?;
    let began = Instant::now();
    api.create(&api::scheduler(FLEET, FLEET, rooms)).await?;
    api.until_ready(FLEET, wanted, PATIENCE).await?;
    table.row(["POST → all ready, ms".into(), millis(began.elapsed())]);

    for _ in 0..CRASHES {
        let (requested, replaced) = crash(&mut api, &site, wanted).await?;
        table.row(["exit → replacement requested, ms".into(), millis(requested)]);
        table.row(["exit → replacement ready, ms".into(), millis(replaced)]);
    }

    let (site, ended_in) = site.restart().await?;
    table.row(["TERM → ended, ms".into(), millis(ended_in)]);
    let since_start = Instant::now();
    let mut api = Api::connect(&site.server.management).await?;
    api.until_ready(FLEET, wanted, PATIENCE).await?;
    let adopted = site.server.started_in + since_start.elapsed();
    table.row(["start → all adopted, ms".into(), millis(adopted)]);

    api.delete(FLEET, PATIENCE).await?;
    let left = processes(&site.server.rooms).len();
    if left > 0 {
        report.wrong(format!("{left} room processes are left"));
    }
    site.server.process.stop().await?;
    report.table(table);
    report.note("requested: the creation time of the next add_rooms operation, in its history, after the kill");
    Ok(report)
}

/// Kills one room: times until its replacement was requested, and until all are ready again.
async fn crash(api: &mut Api, site: &Site, wanted: u64) -> anyhow::Result<(Duration, Duration)> {
    let found = processes(&site.server.rooms);
    let victim = *found.first().context("no room process was found")?;
    let (killed_at, began) = (Timestamp::now(), Instant::now());
    kill_process(victim, Signal::KILL).context("the room cannot be killed")?;
    let ordered_at = loop {
        if let Some(at) = next_addition(api, killed_at).await? {
            break at;
        }
        if began.elapsed() > Duration::from_secs(60) {
            bail!("no replacement was ordered within a minute");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    api.until_ready(FLEET, wanted, PATIENCE).await?;
    let requested = ordered_at.duration_since(killed_at).unsigned_abs();
    Ok((requested, began.elapsed()))
}

/// The creation time of the first operation since `since` that adds rooms.
async fn next_addition(api: &mut Api, since: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    let mut first: Option<Timestamp> = None;
    for stage in ["final", "active", "pending"] {
        let path = format!("/schedulers/{FLEET}/operations?stage={stage}");
        let body = api.ok("GET", &path, None).await?;
        let operations = body["operations"].as_array().into_iter().flatten();
        let additions = operations.filter(|o| o["definitionName"] == "add_rooms");
        let times = additions.filter_map(|o| o["createdAt"].as_str()?.parse::<Timestamp>().ok());
        first = times.filter(|at| *at >= since).chain(first).min();
    }
    Ok(first)
}

/// Room processes of the server whose rooms API has this URL, and of no other.
fn processes(rooms_url: &str) -> Vec<Pid> {
    let mark = format!("MAESTRO_ROOMS_API_URL={rooms_url}");
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|all| all.split(|b| *b == 0).any(|v| v == mark.as_bytes()))
    })
    .filter_map(Pid::from_raw)
    .collect()
}
