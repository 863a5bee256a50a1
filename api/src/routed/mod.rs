//! Calls reach the owner of their scheduler, on whichever node it runs (architecture 4, Other nodes).
//!
//! What concerns one scheduler goes to its owner; what only reads the store is answered here. [`routed()`] is for
//! callers of this node, and passes a call on to another node if necessary. [`owned()`] is for other nodes: it answers
//! only what this node owns and passes nothing on, so no call travels further than one node.

mod actors;
mod by_owner;
mod drain;
mod metrics;
mod owned;
mod router;
mod runtimes;
mod versions;
mod way;

use std::sync::Arc;

use maestro_actors::Node;

use crate::Apis;
use by_owner::ByOwner;
pub use way::Peers;
use way::Way;

/// The APIs for callers of this node: every call is answered as its scheduler's owner would answer it.
pub fn routed(node: &Node, local: Apis, peers: Arc<dyn Peers>) -> Apis {
    over(router::Router::new(node.clone(), local, peers))
}

/// The APIs for other nodes. A call about a scheduler that this node does not own fails without effect, and says where
/// the owner is ([`crate::OwnerHint`]).
pub fn owned(node: &Node, local: Apis) -> Apis {
    over(owned::Owned::new(node.clone(), local))
}

fn over<W: Way>(way: W) -> Apis {
    let apis = Arc::new(ByOwner(way));
    Apis {
        management: apis.clone(),
        rooms: apis.clone(),
        operator: apis.clone(),
        metrics: apis.clone(),
        runtimes: apis.clone(),
        versions: apis,
    }
}
