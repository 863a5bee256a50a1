//! Operations without work, creations and reads of schedulers.

use crate::api::{self, Api};
use crate::args::OperationsArgs;
use crate::commit;
use crate::load::{Generator, Requests};
use crate::report::{Report, Table, median, millis};
use crate::rounds::{self, Contestant, Turns};
use crate::site::{PATIENCE, Site, Target};
use crate::wire;
use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Operations that are started one at a time, with nothing before them.
const STARTS: usize = 200;
/// Schedulers in the list that is read.
const LISTED: u32 = 100;
const SLICE: Duration = Duration::from_secs(2);
const NAME: &str = "bench-operations";

pub async fn run(args: &OperationsArgs) -> anyhow::Result<Report> {
    let mut report = Report::new("Operations and schedulers");
    let named = Target::named(&args.target);
    if named.is_none() {
        let table = operations(args).await?;
        report.table(table);
    }
    let target = match named {
        Some(target) => target,
        None => {
            Target::own(Site::simulated(&args.common, &[("MAESTRO_WORKERS_PAUSED", "true")]).await?)
        }
    };
    let all = schedulers(args, &target).await?;
    report.table(rounds::table(&all));
    if let Some(bad) = all.iter().map(Turns::bad).reduce(|a, b| a + b)
        && bad > 0
    {
        report.wrong(format!(
            "{bad} requests were not answered as they should be"
        ));
    }
    if let Some(site) = &target.site
        && let Some(memory) = site.server.resident_mib()
    {
        report.note(format!(
            "resident memory after all creations: {memory:.1} MiB"
        ));
    }
    let paused = if target.site.is_some() {
        ", workers paused"
    } else {
        ""
    };
    report.note(format!(
        "creations: durable{paused}, each a scheduler without rooms"
    ));
    target.end().await?;
    Ok(report)
}

/// Measures reads of one scheduler, lists of a hundred, and creations.
async fn schedulers(args: &OperationsArgs, target: &Target) -> anyhow::Result<Vec<Turns>> {
    let url = target.management_url()?;
    let host = wire::address_of(url);
    let contestant = |name: &str, requests| Contestant {
        name: name.into(),
        generator: Generator::new(host, args.common.connections, None, requests),
        pid: target.pid,
    };
    let create = |game: &str, number: u32| {
        let body = api::scheduler(&format!("bench-{game}-{number:05}"), game, 0);
        wire::request("POST", host, "/schedulers", Some(&body.to_string()))
    };
    let once = |bytes| Requests {
        once: true,
        ..Requests::cycle(bytes, br#""scheduler""#)
    };
    let listed = once((0..LISTED).map(|n| create("listed", n)).collect());
    let mut first = contestant("first creations", listed).generator;
    first.slice(PATIENCE).await?;

    let get = wire::request("GET", host, "/schedulers/bench-listed-00001", None);
    let list = wire::request("GET", host, "/schedulers?game=listed", None);
    let reads = vec![
        contestant("GET of one", Requests::cycle(vec![get], br#""scheduler""#)),
        contestant(
            "list of 100",
            Requests::cycle(vec![list], br#""schedulers""#),
        ),
    ];
    let mut all = rounds::alternate(reads, args.common.time, SLICE).await?;

    let bytes = (0..args.schedulers).map(|n| create("created", n)).collect();
    let mut creations = contestant("creations", once(bytes));
    let turn = creations.turn(PATIENCE).await?;
    all.push(Turns {
        name: format!("creations, up to {}", args.schedulers),
        turns: vec![turn],
    });
    Ok(all)
}

/// Measures operations that do nothing, on a scheduler without rooms.
async fn operations(args: &OperationsArgs) -> anyhow::Result<Table> {
    let site = Site::simulated(&args.common, &[]).await?;
    let mut api = Api::connect(&site.server.management).await?;
    api.create(&api::scheduler(NAME, "operations", 0)).await?;
    api.until_in_sync(NAME, PATIENCE).await?;
    let mut table = Table::new(["operations without work", "figure"]);

    let waits = starts(&site, &mut api).await?;
    table.row([
        "enqueued → started, median ms".into(),
        format!("{:.3}", median(waits.clone())),
    ]);
    let worst = waits.iter().copied().fold(0.0, f64::max);
    table.row(["enqueued → started, worst ms".into(), format!("{worst:.3}")]);

    let began = Instant::now();
    crowd(&site, args.operations).await?;
    until_idle(&mut api).await?;
    let rate = f64::from(args.operations) / began.elapsed().as_secs_f64();
    table.row(["a second, enqueued in a crowd".into(), format!("{rate:.0}")]);

    let commit = commit::median_of_one_row(site.folder.path()).await?;
    table.row(["commit of one row, median ms".into(), millis(commit)]);
    let target = 0.6 / commit.as_secs_f64();
    table.row(["0.6 ÷ that time, a second".into(), format!("{target:.0}")]);
    site.server.process.stop().await?;
    Ok(table)
}

/// Milliseconds from the creation of an operation to its start, each on an empty queue.
async fn starts(site: &Site, api: &mut Api) -> anyhow::Result<Vec<f64>> {
    let mut internal = Api::connect(&site.server.internal).await?;
    let mut waits = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let path = format!("/debug/actors/{NAME}/test-operation");
        let body = json!({ "sleepSeconds": 0 });
        let answer = internal.ok("POST", &path, Some(&body)).await?;
        let id = answer["operationId"].as_str().context("no operation id")?;
        waits.push(wait_of(api, id).await?);
    }
    Ok(waits)
}

/// Polls until the operation has ended; its first event says when it started.
async fn wait_of(api: &mut Api, id: &str) -> anyhow::Result<f64> {
    let path = format!("/schedulers/{NAME}/operations/{id}");
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let body = api.ok("GET", &path, None).await?;
        let operation = &body["operation"];
        if operation["status"] == "finished" {
            let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
            let created = time(&operation["createdAt"]);
            let events = operation["executionHistory"].as_array();
            let started = events
                .into_iter()
                .flatten()
                .find(|event| event["event"].as_str().is_some_and(|e| e.contains("tart")))
                .and_then(|event| time(&event["createdAt"]));
            let (Some(created), Some(started)) = (created, started) else {
                bail!("no times in the history of an operation: {operation}");
            };
            return Ok(started.duration_since(created).as_secs_f64() * 1000.0);
        }
        if Instant::now() > until {
            bail!("an operation without work did not end: {operation}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Enqueues many operations at once: they wait in the queue while the first of them run.
async fn crowd(site: &Site, count: u32) -> anyhow::Result<()> {
    let host = wire::address_of(&site.server.internal);
    let path = format!("/debug/actors/{NAME}/test-operation");
    let request = wire::request("POST", host, &path, Some(r#"{"sleepSeconds":0}"#));
    let requests = Requests {
        once: true,
        ..Requests::cycle(vec![request; count as usize], br#""operationId""#)
    };
    let slice = Generator::new(host, 16, None, requests)
        .slice(PATIENCE)
        .await?;
    match slice.refused + slice.failed {
        0 => Ok(()),
        bad => bail!("{bad} operations were not accepted"),
    }
}

async fn until_idle(api: &mut Api) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut left = 0;
        for stage in ["pending", "active"] {
            let path = format!("/schedulers/{NAME}/operations?stage={stage}");
            let body = api.ok("GET", &path, None).await?;
            left += body["operations"].as_array().map_or(0, Vec::len);
        }
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("{left} operations did not end");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
