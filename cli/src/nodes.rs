//! `maestro nodes`: the nodes that are alive and what they own, as a table (its document:
//! docs/debug-nodes.schema.json).

use crate::block_on::block_on;
use crate::output;
use crate::remote::{GRPC_URL, Remote};
use crate::table::Table;
use anyhow::Context;
use clap::Args;
use maestro_api::codec::messages::GetNodesRequest;
use maestro_core::text::escaped;
use serde::Deserialize;

const HEADS: [&str; 8] = [
    "", "NAME", "ADDRESS", "SESSION", "STATE", "OWNED", "LEASE", "VERSION",
];
const NUMBERS: &[usize] = &[5, 6];
const NOTHING: &str = "-";

/// The options of `maestro nodes`.
#[derive(Debug, Clone, Args)]
pub struct NodesArgs {
    /// The gRPC server of any node
    #[arg(long, default_value = GRPC_URL)]
    pub url: String,
    /// Also tell who owns this scheduler
    #[arg(long, value_name = "NAME")]
    pub scheduler: Option<String>,
    /// Print the server's document unchanged
    #[arg(long)]
    pub json: bool,
}

/// The part of the document that is shown. Other versions of the server may leave fields out.
#[derive(Debug, Deserialize)]
struct Page {
    nodes: Vec<Node>,
    #[serde(default)]
    store: String,
    #[serde(default)]
    unowned: u64,
    #[serde(default)]
    outbox: Outbox,
    remembered: Option<Remembered>,
    scheduler: Option<Placed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Remembered {
    age_ms: u64,
    cause: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    session: String,
    name: String,
    address: String,
    me: bool,
    hosts: bool,
    draining: bool,
    version: String,
    lease_left_ms: Option<u64>,
    owned: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Outbox {
    rows: u64,
    oldest_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Placed {
    name: String,
    owner: Option<Owner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    session: String,
    name: Option<String>,
    address: String,
    epoch: u64,
}

/// # Errors
/// If there is nothing to show; the message says why.
pub fn run(args: &NodesArgs) -> anyhow::Result<()> {
    let view = block_on(fetch(args))?;
    let page: Page = serde_json::from_str(&view)
        .with_context(|| format!("{} shows nodes in a way that is not known here", args.url))?;
    match args.json {
        true => output::print_document(&format!("{}\n", view.trim_end())),
        false => output::print(&render(&page)),
    }
}

async fn fetch(args: &NodesArgs) -> anyhow::Result<String> {
    let server = Remote::connect(&args.url).await?;
    let request = GetNodesRequest {
        scheduler_name: args.scheduler.clone(),
    };
    let operator = &server.operator;
    let shown = server.ask("GetNodes", async |context| {
        operator.get_nodes(context, request).await
    });
    Ok(shown.await?.view)
}

/// The table, followed by what concerns no single node.
fn render(page: &Page) -> String {
    let mut table = Table::new(&HEADS, NUMBERS);
    for node in &page.nodes {
        table.row(node.cells());
    }
    let mut notes = vec![format!("store: {}", page.store)];
    if let Some(Remembered { age_ms, cause }) = &page.remembered {
        let age = seconds(*age_ms);
        notes.push(format!(
            "the store cannot be read ({cause}): this is what the node saw {age} ago"
        ));
    }
    if page.unowned > 0 {
        notes.push(format!("schedulers without an owner: {}", page.unowned));
    }
    if let Outbox {
        rows: rows @ 1..,
        oldest_ms,
    } = page.outbox
    {
        let oldest = seconds(oldest_ms.unwrap_or_default());
        notes.push(format!(
            "batches that Redis still lacks: {rows}, the oldest for {oldest}"
        ));
    }
    notes.extend(page.scheduler.as_ref().map(Placed::note));
    let notes: String = notes
        .iter()
        .map(|note| format!("{}\n", escaped(note)))
        .collect();
    format!("{table}\n{notes}")
}

impl Node {
    fn cells(&self) -> Vec<String> {
        let state = match (self.hosts, self.draining) {
            (_, true) => "draining",
            (true, false) => "hosting",
            (false, false) => "routing",
        };
        let address = match self.address.as_str() {
            "" => NOTHING,
            address => address,
        };
        vec![
            if self.me { "*" } else { "" }.into(),
            self.name.clone(),
            address.into(),
            self.session.clone(),
            state.into(),
            self.owned.to_string(),
            self.lease_left_ms.map_or_else(|| NOTHING.into(), seconds),
            self.version.clone(),
        ]
    }
}

impl Placed {
    fn note(&self) -> String {
        let Some(owner) = &self.owner else {
            return format!("{}: nobody owns it at the moment", self.name);
        };
        let Owner {
            session,
            address,
            epoch,
            ..
        } = owner;
        let name = owner.name.as_deref().unwrap_or("a node that is gone");
        format!(
            "{}: owned by {name} ({address}, session {session}) at epoch {epoch}",
            self.name
        )
    }
}

fn seconds(millis: u64) -> String {
    format!("{:.1}s", millis as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_are_rows_and_what_waits_is_told() {
        let page: Page = serde_json::from_value(json!({"store": "postgres", "nodes": [
            {"session": "s-1", "name": "a", "address": "10.0.0.1:1", "me": true, "hosts": true, "version": "0.1.0",
             "lease_left_ms": 2900, "owned": 12},
            {"session": "s-2", "name": "b\u{1b}[2J", "address": "", "hosts": true, "draining": true, "owned": 1},
            {"session": "s-3", "name": "c", "address": "10.0.0.3:1"},
        ], "unowned": 3, "outbox": {"rows": 2, "oldest_ms": 61_000},
           "scheduler": {"name": "arena", "owner": {"session": "s-1", "name": "a", "address": "10.0.0.1:1", "epoch": 7}}}))
        .unwrap();
        let shown = render(&page);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("*  a"), "{shown}");
        for text in ["10.0.0.1:1", "s-1", "hosting", "12", "2.9s", "0.1.0"] {
            assert!(lines[1].contains(text), "{text}: {shown}");
        }
        assert!(
            lines[2].contains("draining") && lines[2].contains(" - "),
            "{shown}"
        );
        assert!(lines[3].contains("routing"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        for text in [
            "schedulers without an owner: 3",
            "batches that Redis still lacks: 2, the oldest for 61.0s",
            "arena: owned by a (10.0.0.1:1, session s-1) at epoch 7",
        ] {
            assert!(shown.contains(text), "{text}: {shown}");
        }
    }
}
