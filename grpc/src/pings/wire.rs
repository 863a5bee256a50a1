//! The frames, generated from `node/v1/pings.proto`, and how many there may be.

/// Maximum number of pings on one stream that have no answer yet. As many wait for one owner at most.
pub const UNDER_WAY_MAX: usize = 4096;

pub use frames::*;

mod frames {
    #![allow(
        clippy::all,
        clippy::pedantic,
        clippy::unwrap_used,
        missing_docs,
        reason = "it is generated"
    )]

    tonic::include_proto!("node.v1");
}
