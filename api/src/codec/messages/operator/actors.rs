//! The state of the actors (`maestro/v1/operator.proto`).

use crate::codec::macros::{kind, messages, slot};

messages! {
    GetActorsRequest {
        /// Limits the view to the actor of this scheduler.
        scheduler_name "schedulerName" opt String = 100;
    }
    /// What every actor is doing. No actor is asked, so a stuck one is shown while it is stuck.
    GetActorsResponse {
        /// A JSON document; `docs/debug-actors.schema.json` describes it. It is a string because its members change
        /// along with the implementation.
        view "view" one String = 100;
    }
}
