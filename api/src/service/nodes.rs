//! The nodes that are alive and what they own, as one document (`docs/debug-nodes.schema.json`). It is read from the
//! store, so every node answers the same, except for which one of them answers. While the store cannot be read, it is
//! what the answering node saw last.

use jiff::Timestamp;
use maestro_actors::{Node, Nodes, Remembered};
use maestro_core::ports::{Member, Outbox, Owner, Standing};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use crate::codec::messages::{DrainNodeRequest, DrainNodeResponse};
use crate::{ApiResult, Code, Status};

/// As the store of one node calls itself.
const EMBEDDED: &str = "embedded";

#[derive(Serialize)]
struct View<'a> {
    at: Timestamp,
    store: &'static str,
    /// The session of the answering node.
    me: Uuid,
    nodes: Vec<NodeView<'a>>,
    unowned: u64,
    outbox: OutboxView,
    #[serde(skip_serializing_if = "Option::is_none")]
    remembered: Option<RememberedView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduler: Option<SchedulerView<'a>>,
}

#[derive(Serialize)]
struct NodeView<'a> {
    session: Uuid,
    name: &'a str,
    address: &'a str,
    me: bool,
    hosts: bool,
    draining: bool,
    runtime_domain: &'a str,
    version: &'a str,
    lease_left_ms: Option<u64>,
    owned: u64,
}

#[derive(Serialize)]
struct OutboxView {
    rows: u64,
    oldest_ms: Option<u64>,
}

#[derive(Serialize)]
struct RememberedView {
    age_ms: u64,
    cause: Arc<str>,
}

#[derive(Serialize)]
struct SchedulerView<'a> {
    name: &'a str,
    owner: Option<OwnerView>,
}

#[derive(Serialize)]
struct OwnerView {
    session: Uuid,
    /// `None`: it is not among the nodes, because it began or ended between two questions.
    name: Option<String>,
    address: String,
    epoch: u64,
}

/// # Errors
/// If the store cannot be read, or has no such scheduler.
pub async fn view(node: &Node, scheduler: Option<&str>) -> ApiResult<String> {
    let owner = match scheduler {
        Some(name) => Some((name, node.owner_or_last_seen(name).await?)),
        None => None,
    };
    let Nodes {
        overview,
        outbox: Outbox { rows, oldest },
        remembered,
    } = node.nodes().await?;
    let me = node.myself().session;
    let scheduler = match owner {
        Some((name, Owner::Unknown)) => {
            return Err(Status::not_found(format!("scheduler {name} not found")));
        }
        Some((name, owner)) => Some(SchedulerView {
            name,
            owner: owner_view(owner, &overview.nodes),
        }),
        None => None,
    };
    let view = View {
        at: Timestamp::now(),
        store: overview.store,
        me,
        nodes: overview.nodes.iter().map(|n| node_view(n, me)).collect(),
        unowned: overview.unowned,
        outbox: OutboxView {
            rows,
            oldest_ms: oldest.map(millis),
        },
        remembered: remembered.map(|Remembered { cause, age }| RememberedView {
            age_ms: millis(age),
            cause,
        }),
        scheduler,
    };
    serde_json::to_string(&view).map_err(|error| Status::internal(error.to_string()))
}

/// Drains this node, or makes it take its share again.
///
/// # Errors
/// If another node is meant, there is no other that could take over, or the store cannot be written.
pub async fn drain(node: &Node, request: DrainNodeRequest) -> ApiResult<DrainNodeResponse> {
    let me = node.myself();
    let session = me.session.to_string();
    if !request.node.is_empty() && request.node != session {
        return Err(no_such_node(&request.node));
    }
    let (before, _) = node.overview().await?;
    if before.store == EMBEDDED {
        let text =
            "the embedded store has one node: there is no other that could take its schedulers";
        return Err(Status::new(Code::FailedPrecondition, text));
    }
    if !node.drain(request.draining, request.leave_rooms).await? {
        let text = "the session of this node has just ended and begins anew; try again in a second";
        return Err(Status::unavailable(text));
    }
    let owned = before.nodes.iter().find(|n| n.member.session == me.session);
    let staying = match request.draining {
        true => node.staying() as u64,
        false => 0,
    };
    Ok(DrainNodeResponse {
        session,
        name: me.name,
        address: me.address,
        draining: request.draining,
        owned: owned.map_or(0, |n| n.owned),
        staying,
    })
}

/// No living node is meant, or none any more.
pub fn no_such_node(node: &str) -> Status {
    Status::not_found(format!(
        "no living node has the name, session or address {node:?}"
    ))
}

fn node_view(standing: &Standing, me: Uuid) -> NodeView<'_> {
    let Member {
        session,
        name,
        address,
        hosts,
        draining,
        runtime_domain,
        version,
    } = &standing.member;
    NodeView {
        session: *session,
        name,
        address,
        me: *session == me,
        hosts: *hosts,
        draining: *draining,
        runtime_domain,
        version,
        lease_left_ms: standing.left.map(millis),
        owned: standing.owned,
    }
}

fn owner_view(owner: Owner, nodes: &[Standing]) -> Option<OwnerView> {
    let Owner::Held(holder) = owner else {
        return None;
    };
    let known = nodes.iter().find(|n| n.member.session == holder.session);
    Some(OwnerView {
        session: holder.session,
        name: known.map(|n| n.member.name.clone()),
        address: holder.address,
        epoch: holder.epoch.0,
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
