//! Requests and responses of the operator's calls (`maestro.v1`). Field numbers begin at 100.
//!
//! Over HTTP they are not proto-JSON: these endpoints have always written numbers as numbers and unknown values as
//! `null`. serde writes that form, as the attributes here specify.

mod actors;
mod control;
mod fleet;
mod nodes;
mod rollout;
mod rooms;
mod versions;

pub use actors::*;
pub use control::*;
pub use fleet::*;
pub use nodes::*;
pub use rollout::*;
pub use rooms::*;
pub use versions::*;
