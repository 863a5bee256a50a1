//! `maestro node drain` and `undrain`: what operators steer of a node.

use crate::block_on::block_on;
use crate::internal::{INTERNAL_URL, Internal};
use crate::output;
use clap::{Args, Subcommand};
use maestro_core::text::escaped;
use serde_json::{Value, json};
use std::time::Duration;

/// The order is only noted; the schedulers go afterwards.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// The commands of `maestro node`.
#[derive(Debug, Clone, Subcommand)]
pub enum NodeCommand {
    /// Let a node hand its schedulers over to the others; it goes on to answer and route
    #[command(args_override_self = true)]
    Drain(DrainArgs),
    /// Let a drained node take its share of the schedulers again
    #[command(args_override_self = true)]
    Undrain(UndrainArgs),
}

/// The options of `maestro node drain`.
#[derive(Debug, Clone, Args)]
pub struct DrainArgs {
    #[command(flatten)]
    which: Which,
    /// Also hand over schedulers whose rooms other nodes cannot see; their new owners replace these rooms
    #[arg(long)]
    leave_rooms: bool,
}

/// The options of `maestro node undrain`.
#[derive(Debug, Clone, Args)]
pub struct UndrainArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Clone, Args)]
struct Which {
    /// Name, session or address of the node, as `maestro nodes` shows them [default: the node that is asked]
    node: Option<String>,
    /// The internal server of any node
    #[arg(long, default_value = INTERNAL_URL)]
    url: String,
}

/// # Errors
/// If the order was refused; the message says why.
pub fn run(command: &NodeCommand) -> anyhow::Result<()> {
    let (which, verb, body) = match command {
        NodeCommand::Drain(drain) => {
            let body = json!({ "leaveRooms": drain.leave_rooms });
            (&drain.which, "drain", body)
        }
        NodeCommand::Undrain(undrain) => (&undrain.which, "undrain", json!({})),
    };
    let internal = Internal::new(&which.url)?;
    let node = which.node.as_deref().unwrap_or("me");
    let done = block_on(async {
        internal.reach().await?;
        let page = ["debug", "nodes", node, verb];
        internal.post(&page, &body, ANSWERED_WITHIN).await
    })?;
    output::print(&told(&done))
}

fn told(done: &Value) -> String {
    let text = |field: &str| escaped(done[field].as_str().unwrap_or_default()).into_owned();
    let (owned, staying) = (&done["owned"], &done["staying"]);
    let does = match done["draining"] == true {
        true => "drains",
        false => "takes its share again",
    };
    let (name, session) = (text("name"), text("session"));
    let told = format!("{name} (session {session}) {does}: it owns {owned} schedulers\n");
    match staying.as_u64() {
        None | Some(0) => told,
        Some(staying) => format!(
            "{told}{staying} of them stay, because the other nodes cannot see their rooms; --leave-rooms hands them over\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_told() {
        let mut done = json!({"session": "s-1", "name": "a\u{1b}", "draining": true, "owned": 5, "staying": 2});
        let said = told(&done);
        assert!(
            said.contains("drains: it owns 5 schedulers\n2 of them stay"),
            "{said}"
        );
        assert!(!said.contains('\u{1b}'), "{said}");
        done["staying"] = json!(0);
        done["draining"] = json!(false);
        assert!(told(&done).ends_with("takes its share again: it owns 5 schedulers\n"));
    }
}
