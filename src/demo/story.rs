//! The course of the demonstration: rooms come up, matches are played, one room crashes and
//! is replaced, and in the end everything is taken away again.

use super::api::{Api, Counts, SCHEDULER};
use super::matchmaker::{self, Tally};
use crate::serve::Addresses;
use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// All rooms have to be ready within this time, plus some per room.
const UP_WAIT: Duration = Duration::from_secs(30);
/// When the crash happens, counted from the first state line.
const CRASH_AFTER: u64 = 3;
/// How long one try waits for a room that is ready: the matchmaker takes them as well.
const CRASH_WAIT: Duration = Duration::from_millis(800);
/// Everything has to be gone within this time.
const GONE_WAIT: Duration = Duration::from_secs(30);

/// What the demonstration came to.
#[derive(Debug, Default)]
pub struct Summary {
    rooms_started: u64,
    matches: u64,
    twice: u64,
    replaced_after: Option<Duration>,
    crashed: bool,
    unended: Vec<String>,
}

struct Signals {
    int: Signal,
    term: Signal,
}

impl Signals {
    async fn any(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

pub async fn tell(
    addresses: Addresses,
    rooms: u32,
    time: Option<Duration>,
) -> anyhow::Result<Summary> {
    let api = Api::new(&addresses.management, &addresses.rooms)?;
    let mut signals = Signals {
        int: signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?,
        term: signal(SignalKind::terminate()).context("cannot listen for TERM")?,
    };
    print_urls(&addresses, rooms);
    let began = Instant::now();
    api.create(rooms).await?;
    let interrupted = tokio::select! {
        up = wait_for_ready(&api, u64::from(rooms)) => { up?; false }
        () = signals.any() => true,
    };
    let tally = Arc::new(Tally::default());
    let mut summary = Summary::default();
    if !interrupted {
        println!(
            "{rooms} rooms ready after {:.1} s",
            began.elapsed().as_secs_f64()
        );
        let stop = CancellationToken::new();
        let per_second = (f64::from(rooms) / 4.0).clamp(1.0, 50.0);
        let player = tokio::spawn(matchmaker::run(
            api.clone(),
            tally.clone(),
            per_second,
            stop.clone(),
        ));
        let shown = show(&api, &tally, time, &mut signals, &mut summary).await;
        stop.cancel();
        player.await.context("the matchmaker failed")?;
        shown?;
    }
    summary.matches = tally.matches.load(Relaxed);
    summary.twice = tally.twice.load(Relaxed);
    take_away(&api, &mut summary).await?;
    Ok(summary)
}

fn print_urls(addresses: &Addresses, rooms: u32) {
    println!("maestro demo: a fleet of {rooms} rooms as local processes. Try while it runs:");
    println!("  curl {}/schedulers/info", addresses.management);
    println!("  curl {}/schedulers/{SCHEDULER}", addresses.management);
    println!(
        "  curl '{}/schedulers/{SCHEDULER}/operations?stage=final'",
        addresses.management
    );
    println!(
        "  curl -X POST {}/scheduler/{SCHEDULER}/rooms/allocate",
        addresses.rooms
    );
    println!("  curl {}/debug/actors", addresses.internal);
    println!("Ctrl-C ends it and leaves nothing behind.");
}

async fn wait_for_ready(api: &Api, rooms: u64) -> anyhow::Result<()> {
    let until = Instant::now()
        + UP_WAIT
        + Duration::from_millis(100) * u32::try_from(rooms).unwrap_or(u32::MAX);
    loop {
        let counts = api.counts().await?;
        if counts.ready >= rooms {
            return Ok(());
        }
        if Instant::now() > until {
            bail!(
                "only {} of {rooms} rooms became ready: {counts:?}",
                counts.ready
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One line a second; the crash comes in its time.
async fn show(
    api: &Api,
    tally: &Tally,
    time: Option<Duration>,
    signals: &mut Signals,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let end = time.map(|time| Instant::now() + time);
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let mut second = 0u64;
    let mut crashed_at: Option<Timestamp> = None;
    loop {
        tokio::select! {
            () = signals.any() => return Ok(()),
            _ = beat.tick() => {}
        }
        println!("{}", state_line(second, api.counts().await?, tally));
        if second >= CRASH_AFTER && crashed_at.is_none() {
            crashed_at = crash_one(api, tally).await?;
            summary.crashed = crashed_at.is_some();
        }
        if let (Some(at), None) = (crashed_at, summary.replaced_after) {
            summary.replaced_after = replacement_after(api, at).await?;
            if let Some(time) = summary.replaced_after {
                println!(
                    "     the crashed room was replaced after {} ms",
                    time.as_millis()
                );
            }
        }
        second += 1;
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
    }
}

fn state_line(second: u64, counts: Counts, tally: &Tally) -> String {
    format!(
        "{second:4} s  ready {:4}  occupied {:4}  pending {:3}  terminating {:3}  matches played {}",
        counts.ready,
        counts.occupied,
        counts.pending,
        counts.terminating,
        tally.matches.load(Relaxed),
    )
}

/// Takes a room like any other caller, and makes it crash. `None`: no room was ready.
async fn crash_one(api: &Api, tally: &Tally) -> anyhow::Result<Option<Timestamp>> {
    let until = Instant::now() + CRASH_WAIT;
    let room = loop {
        if let Some(room) = api.allocate().await? {
            break room;
        }
        if Instant::now() > until {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    tally.take(&room);
    let at = Timestamp::now();
    // It ends without an answer.
    let _ = matchmaker::command(&room.game, "crash").await;
    println!("     room {} was made to crash", room.room);
    Ok(Some(at))
}

/// From the crash to the end of the operation that made the new room.
async fn replacement_after(api: &Api, crash: Timestamp) -> anyhow::Result<Option<Duration>> {
    for operation in api.operations("final").await? {
        let created = operation["createdAt"]
            .as_str()
            .and_then(|at| at.parse::<Timestamp>().ok());
        let is_add =
            operation["definitionName"] == "add_rooms" && operation["status"] == "finished";
        if !is_add || created.is_none_or(|at| at < crash) {
            continue;
        }
        let whole = api
            .operation(operation["id"].as_str().unwrap_or_default())
            .await?;
        let last = whole["executionHistory"]
            .as_array()
            .and_then(|events| events.last().cloned());
        let ended = last.and_then(|e| e["createdAt"].as_str()?.parse::<Timestamp>().ok());
        return Ok(ended.and_then(|at| Duration::try_from(at.duration_since(crash)).ok()));
    }
    Ok(None)
}

/// Counts what was done, and deletes the fleet.
async fn take_away(api: &Api, summary: &mut Summary) -> anyhow::Result<()> {
    for operation in api.operations("final").await? {
        if operation["definitionName"] == "add_rooms" && operation["status"] == "finished" {
            let whole = api
                .operation(operation["id"].as_str().unwrap_or_default())
                .await?;
            summary.rooms_started += whole["input"]["amount"].as_u64().unwrap_or_default();
        }
    }
    summary.unended = unended(api, GONE_WAIT).await?;
    api.delete().await?;
    let until = Instant::now() + GONE_WAIT;
    while api.exists().await? {
        if Instant::now() > until {
            summary.unended.push("delete_scheduler".into());
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Operations that do not end although they had time to.
async fn unended(api: &Api, wait: Duration) -> anyhow::Result<Vec<String>> {
    let until = Instant::now() + wait;
    loop {
        let mut open: Vec<Value> = api.operations("active").await?;
        open.extend(api.operations("pending").await?);
        if open.is_empty() || Instant::now() > until {
            let name = |o: &Value| format!("{} {}", o["definitionName"], o["id"]);
            return Ok(open.iter().map(name).collect());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Summary {
    pub fn print(&self, left: usize) {
        println!("rooms started:        {}", self.rooms_started);
        println!("matches played:       {}", self.matches);
        match self.replaced_after {
            Some(time) => println!("crash to replacement: {} ms", time.as_millis()),
            None if self.crashed => println!("crash to replacement: not seen"),
            None => println!("crash to replacement: no room crashed"),
        }
        println!("allocated twice:      {}", self.twice);
        println!("operations not ended: {}", self.unended.len());
        println!("processes left:       {left}");
    }

    pub fn verdict(&self) -> anyhow::Result<()> {
        if self.twice > 0 {
            bail!("{} rooms were allocated twice", self.twice);
        }
        if !self.unended.is_empty() {
            bail!("operations did not end: {}", self.unended.join(", "));
        }
        if self.crashed && self.replaced_after.is_none() {
            bail!("the crashed room was not replaced");
        }
        Ok(())
    }
}
