//! The nodes of a cluster (`maestro/v1/operator.proto`).

use crate::codec::macros::{kind, messages, slot};

messages! {
    GetNodesRequest {
        /// Also tells who owns this scheduler.
        scheduler_name "schedulerName" opt String = 100;
    }
    /// The nodes that are alive and how many schedulers each owns, as the store knows them.
    GetNodesResponse {
        /// A JSON document; `docs/debug-nodes.schema.json` describes it.
        view "view" one String = 100;
    }
}
