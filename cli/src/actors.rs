//! `maestro actors`: what every actor is doing, as a table (its document: docs/debug-actors.schema.json).

use crate::block_on::block_on;
use crate::output;
use crate::remote::{GRPC_URL, Remote};
use crate::table::Table;
use anyhow::{Context, bail};
use clap::Args;
use maestro_api::codec::messages::GetActorsRequest;
use maestro_core::text::escaped;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

const HEADS: [&str; 12] = [
    "",
    "KIND",
    "NAME",
    "STATE",
    "MAILBOX",
    "OLDEST",
    "TURN",
    "OPERATION",
    "LEASE",
    "EPOCH",
    "RESTARTS",
    "ROOMS",
];
const NUMBERS: &[usize] = &[4, 5, 8, 9, 10];
const NOTHING: &str = "-";

/// The options of `maestro actors`.
#[derive(Debug, Clone, Args)]
pub struct ActorsArgs {
    /// The gRPC server
    #[arg(long, default_value = GRPC_URL)]
    pub url: String,
    /// Only the actor of this scheduler
    #[arg(long, value_name = "NAME")]
    pub scheduler: Option<String>,
    /// Print the server's document unchanged
    #[arg(long)]
    pub json: bool,
}

/// The part of the document that the table shows. Other versions of the server may leave fields
/// out.
#[derive(Debug, Deserialize)]
struct Page {
    store: Option<Outage>,
    actors: Vec<Actor>,
    #[serde(default)]
    nodes: Vec<Node>,
}

/// A node of a cluster.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    name: String,
    address: String,
    error: Option<String>,
}

/// Reports that the store accepts no changes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outage {
    since: String,
    cause: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Actor {
    kind: String,
    name: String,
    state: String,
    mailbox_depth: u64,
    oldest_message_us: u64,
    turn: Option<Turn>,
    restarts: Restarts,
    degraded_because: Option<String>,
    scheduler: Option<Scheduler>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Turn {
    message: String,
    age_us: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Restarts {
    total: u64,
    last_cause: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Scheduler {
    epoch: u64,
    lease_left_ms: u64,
    paused: bool,
    watch: Watch,
    rooms: BTreeMap<String, u64>,
    running: Vec<Operation>,
    queued: u64,
    crash_failures: u64,
    crash_cause: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Watch {
    state: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Operation {
    kind: String,
    step: String,
    rolling_back: bool,
}

/// # Errors
/// If there is nothing to show; the message says why.
pub fn run(args: &ActorsArgs) -> anyhow::Result<()> {
    let view = block_on(fetch(args))?;
    let page: Page = serde_json::from_str(&view)
        .with_context(|| format!("{} shows actors in a way that is not known here", args.url))?;
    if let (Some(name), []) = (&args.scheduler, &page.actors[..]) {
        bail!("no actor has a scheduler called {name:?}");
    }
    match args.json {
        true => output::print_document(&format!("{}\n", view.trim_end())),
        false => output::print(&render(&page)),
    }
}

async fn fetch(args: &ActorsArgs) -> anyhow::Result<String> {
    let server = Remote::connect(&args.url).await?;
    let request = GetActorsRequest {
        scheduler_name: args.scheduler.clone(),
    };
    let operator = &server.operator;
    let shown = server.ask("GetActors", async |context| {
        operator.get_actors(context, request).await
    });
    Ok(shown.await?.view)
}

/// The table, followed by what does not fit into a column.
fn render(page: &Page) -> String {
    let mut table = Table::new(&HEADS, NUMBERS);
    for actor in &page.actors {
        table.row(actor.cells());
    }
    let store = page.store.iter().map(|Outage { since, cause }| {
        format!("store: takes no changes since {since}: {cause}; reads, pings and rooms continue\n")
    });
    let missing = page.nodes.iter().filter_map(|node| {
        let (name, address) = (escaped(&node.name), escaped(&node.address));
        let error = escaped(node.error.as_ref()?);
        Some(format!(
            "node {name} ({address}): its actors are missing: {error}\n"
        ))
    });
    let notes: String = store
        .chain(missing)
        .chain(page.actors.iter().flat_map(Actor::notes))
        .collect();
    match notes.is_empty() {
        true => table.to_string(),
        false => format!("{table}\n{notes}"),
    }
}

impl Actor {
    fn needs_a_look(&self) -> bool {
        matches!(self.state.as_str(), "stuck" | "degraded")
    }

    fn cells(&self) -> Vec<String> {
        let turn = self.turn.as_ref();
        let turn = turn.map(|turn| format!("{} {}", turn.message, micros(turn.age_us)));
        let own = |show: fn(&Scheduler) -> String| {
            let shown = self.scheduler.as_ref().map(show);
            shown.unwrap_or_else(|| NOTHING.into())
        };
        vec![
            if self.needs_a_look() { "!" } else { "" }.into(),
            self.kind.clone(),
            self.name.clone(),
            self.state.clone(),
            self.mailbox_depth.to_string(),
            micros(self.oldest_message_us),
            turn.unwrap_or_else(|| NOTHING.into()),
            own(Scheduler::operations),
            own(|s| micros(s.lease_left_ms.saturating_mul(1000))),
            own(|s| s.epoch.to_string()),
            self.restarts.total.to_string(),
            own(Scheduler::rooms),
        ]
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note =
            |text: String| notes.push(format!("{}\n", escaped(&format!("{}: {text}", self.name))));
        if self.state == "stuck" {
            let turn = self.turn.as_ref().map_or(0, |turn| turn.age_us);
            note(format!(
                "stuck: its turn has taken {} so far, its oldest message has waited for {}",
                micros(turn),
                micros(self.oldest_message_us)
            ));
        }
        if let Some(because) = &self.degraded_because {
            note(format!("{}: {because}", self.state));
        }
        if let Some(cause) = &self.restarts.last_cause {
            note(format!(
                "restarted {} times; the last: {cause}",
                self.restarts.total
            ));
        }
        let Some(scheduler) = &self.scheduler else {
            return notes;
        };
        if scheduler.paused {
            note("paused: pings and allocation continue, queues do not move".into());
        }
        if scheduler.watch.state == "ended" {
            note("its watch ended: it hears nothing of its rooms any more".into());
        }
        if scheduler.crash_failures > 0 {
            let cause = scheduler.crash_cause.as_deref().unwrap_or("not known");
            let failures = scheduler.crash_failures;
            note(format!(
                "its rooms failed {failures} times in a row; the last: {cause}"
            ));
        }
        notes
    }
}

impl Scheduler {
    fn operations(&self) -> String {
        let running = self.running.iter().map(|operation| {
            let way = if operation.rolling_back {
                " (rolling back)"
            } else {
                ""
            };
            match operation.step.as_str() {
                "" => format!("{}{way}", operation.kind),
                step => format!("{}: {step}{way}", operation.kind),
            }
        });
        let mut text = running.collect::<Vec<_>>().join(" + ");
        if self.queued > 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, " (+{} queued)", self.queued);
        }
        match text.trim() {
            "" => NOTHING.into(),
            text => text.to_owned(),
        }
    }

    fn rooms(&self) -> String {
        let some = self.rooms.iter().filter(|(_, count)| **count > 0);
        let some: Vec<String> = some.map(|(status, n)| format!("{n} {status}")).collect();
        match some.is_empty() {
            true => "none".into(),
            false => some.join(", "),
        }
    }
}

fn micros(micros: u64) -> String {
    match micros {
        0 => "0".into(),
        1..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{:.1}ms", micros as f64 / 1e3),
        _ => format!("{:.1}s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_needs_a_look_is_marked_and_explained() {
        let page: Page = serde_json::from_value(json!({"store": {"since": "2026-01-02T03:04:05Z", "cause": "no space left on device"}, "actors": [
            {"kind": "supervisor", "name": "supervisor", "state": "running"},
            {"kind": "scheduler", "name": "arena", "state": "stuck", "mailbox_depth": 12,
             "oldest_message_us": 2_500_000, "turn": {"message": "ping", "age_us": 2_600_000},
             "restarts": {"total": 1, "last_cause": "a panic"},
             "scheduler": {"epoch": 3, "lease_left_ms": 900, "queued": 2, "watch": {"state": "ended"}, "rooms": {"ready": 4, "error": 0},
                "running": [{"kind": "add_rooms", "step": "creating rooms"}]}},
            {"kind": "scheduler", "name": "dome", "state": "degraded", "degraded_because": "five restarts"},
        ], "nodes": [{"name": "a", "address": "10.0.0.1:1"}, {"name": "b", "address": "10.0.0.2:1", "error": "it hangs"}]}))
        .unwrap();
        let shown = render(&page);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            shown.contains("node b (10.0.0.2:1): its actors are missing: it hangs"),
            "{shown}"
        );
        assert!(!shown.contains("node a"), "{shown}");
        assert!(lines[1].starts_with("   supervisor"), "{shown}");
        assert!(lines[2].starts_with("!  scheduler   arena"), "{shown}");
        assert!(lines[3].starts_with("!  scheduler   dome"), "{shown}");
        for text in [
            "12",
            "2.5s",
            "ping 2.6s",
            "add_rooms: creating rooms (+2 queued)",
            "900.0ms",
            "4 ready",
        ] {
            assert!(lines[2].contains(text), "{text}: {shown}");
        }
        for text in [
            "arena: stuck: its turn has taken 2.6s",
            "arena: restarted 1 times; the last: a panic",
            "arena: its watch ended",
            "dome: degraded: five restarts",
            "store: takes no changes since 2026-01-02T03:04:05Z: no space left on device",
        ] {
            assert!(shown.contains(text), "{text}: {shown}");
        }
    }
}
