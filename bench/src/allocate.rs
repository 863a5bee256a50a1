//! Allocation: ready rooms are allocated until none is left, and no room twice.

use crate::args::AllocateArgs;
use crate::load::{Generator, Requests, Slice};
use crate::report::{Report, Table, maybe, quantile};
use crate::rounds::Contestant;
use crate::site::{Site, Target};
use crate::wire;
use serde::Deserialize;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The maximum number of fleets of one size.
const FLEETS_MAX: u32 = 50;

/// The result for one size.
struct Seen {
    slice: Slice,
    cpu: Option<f64>,
    turn_p99_us: Option<u64>,
    longest_turn_ms: Option<f64>,
    twice: usize,
}

pub async fn run(args: &AllocateArgs) -> anyhow::Result<Report> {
    let title = format!("Allocation over {} connections", args.common.connections);
    let mut report = Report::new(title);
    let mut table = Table::new([
        "ready rooms",
        "allocated",
        "per second",
        "p50 ms",
        "p99 ms",
        "max ms",
        "CPU µs each",
        "turn p99 µs",
        "longest turn ms",
        "given twice",
    ]);
    let mut add = |name: String, seen: &Seen| {
        table.row([
            name,
            seen.slice.good.to_string(),
            format!("{:.0}", seen.slice.rate()),
            quantile(&seen.slice.latency, 0.5),
            quantile(&seen.slice.latency, 0.99),
            quantile(&seen.slice.latency, 1.0),
            maybe(seen.cpu, 1),
            maybe(seen.turn_p99_us.map(|us| us as f64), 0),
            maybe(seen.longest_turn_ms, 2),
            seen.twice.to_string(),
        ]);
    };
    let mut twice = 0;
    if let (Some(target), Some(scheduler)) = (Target::named(&args.target), &args.scheduler) {
        let mut taken = Taken::default();
        let (slice, cpu) = take(&target, scheduler, args).await?;
        let seen = taken.judge(slice, cpu);
        twice += seen.twice;
        add("as found".into(), &seen);
    } else {
        for rooms in &args.rooms {
            let seen = one_size(args, *rooms).await?;
            twice += seen.twice;
            add(rooms.to_string(), &seen);
        }
        report.note("a fleet ends when a caller is refused or its time is over; small fleets are taken one after the other");
        report.note(
            "turn p99: of the allocations' turns of the scheduler's actor, from fixed buckets",
        );
        report.note("longest turn: of the scheduler's actor, its creation included");
    }
    report.table(table);
    if twice > 0 {
        report.wrong(format!("{twice} rooms were given twice"));
    }
    Ok(report)
}

async fn one_size(args: &AllocateArgs, rooms: u32) -> anyhow::Result<Seen> {
    let site = Site::simulated(&args.common, &[]).await?;
    let fleets = (args.allocations / rooms).clamp(1, FLEETS_MAX);
    let fleets = fleets.min(60_000 / rooms);
    let names: Vec<String> = (0..fleets).map(|n| format!("take{n:02}-{rooms}")).collect();
    for name in &names {
        site.ready_fleet(name, rooms, args.common.connections)
            .await?;
    }
    let target = Target::own(site);
    let until = Instant::now() + args.common.time;
    let mut whole = Slice::new();
    let (mut cpu_total, mut elapsed) = (Some(0.0), Duration::ZERO);
    for name in &names {
        if Instant::now() > until {
            break;
        }
        let (slice, cpu) = take(&target, name, args).await?;
        cpu_total = cpu_total.zip(cpu).map(|(sum, cpu)| sum + cpu);
        elapsed += slice.elapsed;
        whole.add(slice);
    }
    whole.elapsed = elapsed;
    let cpu = cpu_total.map(|micros| micros / whole.answers().max(1) as f64);
    let mut seen = Taken::default().judge(whole, cpu);
    if let Some(internal) = &target.internal {
        seen.turn_p99_us = crate::fleet::turn_p99_us(internal, "allocate").await?;
        seen.longest_turn_ms = crate::fleet::longest_turn_ms(internal).await?;
    }
    target.end().await?;
    Ok(seen)
}

/// One fleet: the result, and the server's CPU time in microseconds.
async fn take(
    target: &Target,
    scheduler: &str,
    args: &AllocateArgs,
) -> anyhow::Result<(Slice, Option<f64>)> {
    let host = wire::address_of(target.rooms_url()?);
    let path = format!("/scheduler/{scheduler}/rooms/allocate");
    let request = wire::request("POST", host, &path, Some("{}"));
    let requests = Requests {
        keep: true,
        until_refused: true,
        ..Requests::cycle(vec![request], br#""roomId""#)
    };
    let mut contestant = Contestant {
        name: scheduler.into(),
        generator: Generator::new(host, args.common.connections, None, requests),
        pid: target.pid,
    };
    let turn = contestant.turn(args.common.time).await?;
    let answers = turn.slice.answers() as f64;
    Ok((turn.slice, turn.cpu.map(|each| each * answers)))
}

/// Allocated rooms.
#[derive(Default)]
struct Taken(HashSet<String>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    room_id: String,
}

impl Taken {
    fn judge(&mut self, slice: Slice, cpu: Option<f64>) -> Seen {
        let mut twice = 0;
        for body in &slice.bodies {
            // An unreadable answer is as bad as a room allocated twice.
            let fresh = serde_json::from_slice::<Given>(body)
                .is_ok_and(|given| self.0.insert(given.room_id));
            twice += usize::from(!fresh);
        }
        Seen {
            slice,
            cpu,
            turn_p99_us: None,
            longest_turn_ms: None,
            twice,
        }
    }
}
