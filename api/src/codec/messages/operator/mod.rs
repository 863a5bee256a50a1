//! Requests and responses of the operator's calls (`maestro.v1`). Their numbers begin at 100.
//!
//! Over HTTP they are not proto-JSON: these endpoints have always written numbers as numbers and what is unknown as
//! `null`.
//! That form is serde's, by the attributes here.

mod control;
mod fleet;
mod rollout;
mod rooms;

pub use control::*;
pub use fleet::*;
pub use rollout::*;
pub use rooms::*;
