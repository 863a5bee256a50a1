//! Steady pings: ready rooms ping `ready` again. Nothing changes, so nothing is written.

use crate::args::PingArgs;
use crate::load::{Generator, Requests};
use crate::report::{Report, maybe};
use crate::rounds::{self, Contestant};
use crate::server::Baseline;
use crate::site::{self, Site, TAKEN, Target};
use crate::wire;
use anyhow::{Context, bail};

pub async fn run(args: &PingArgs) -> anyhow::Result<Report> {
    let (target, rooms) = prepare(args).await?;
    let url = target.rooms_url()?.to_owned();
    let mut contestants = vec![contestant("server", args, &url, &rooms, target.pid)];
    let baseline = match args.baseline {
        true => Some(Baseline::start()?),
        false => None,
    };
    if let Some(bare) = &baseline {
        let pid = Some(bare.process.pid());
        contestants.push(contestant("bare handler", args, &bare.url, &rooms, pid));
    }
    let all = rounds::alternate(contestants, args.common.time, args.slice).await?;

    let mut report = Report::new(title(args));
    report.table(rounds::table(&all));
    if let Some((table, rate, cpu)) = rounds::ratios(&all) {
        report.table(table);
        report.note(format!(
            "server ÷ bare handler, median of the rounds: rate {rate:.2}, CPU {}",
            maybe(cpu, 2)
        ));
    }
    if let Some(bad) = all.first().map(|turns| turns.bad()).filter(|bad| *bad > 0) {
        report.wrong(format!("{bad} pings were not accepted"));
    }
    if let Some(site) = &target.site {
        let memory = maybe(site.server.resident_mib(), 1);
        report.note(format!(
            "resident memory of the server after it: {memory} MiB"
        ));
    }
    target.end().await?;
    if let Some(bare) = baseline {
        bare.process.stop().await?;
    }
    Ok(report)
}

fn title(args: &PingArgs) -> String {
    let loop_kind = match args.rate {
        None => "closed loop".to_owned(),
        Some(rate) => format!("open loop at {rate} a second"),
    };
    format!(
        "Steady pings of {} rooms over {} connections, {loop_kind}",
        args.rooms, args.common.connections
    )
}

/// A server with ready rooms: ours, or the named one.
async fn prepare(args: &PingArgs) -> anyhow::Result<(Target, Vec<String>)> {
    if let Some(target) = Target::named(&args.target) {
        let file = args.room_list.as_deref();
        let file = file.context("--room-list is missing: the ids of rooms that are ready")?;
        let mut rooms = site::read_rooms(file)?;
        rooms.truncate(args.rooms as usize);
        if rooms.is_empty() {
            bail!("{} names no room", file.display());
        }
        let url = target.rooms_url()?;
        site::ping_once(url, &args.scheduler, &rooms, args.common.connections).await?;
        return Ok((target, rooms));
    }
    let site = Site::simulated(&args.common, &[]).await?;
    site.ready_fleet(&args.scheduler, args.rooms, args.common.connections)
        .await?;
    let rooms = site.rooms()?;
    Ok((Target::own(site), rooms))
}

fn contestant(
    name: &str,
    args: &PingArgs,
    url: &str,
    rooms: &[String],
    pid: Option<u32>,
) -> Contestant {
    let requests = Requests::cycle(site::pings(url, &args.scheduler, rooms), TAKEN);
    let connections = args.common.connections;
    Contestant {
        name: name.into(),
        generator: Generator::new(wire::address_of(url), connections, args.rate, requests),
        pid,
    }
}
