//! Between the messages of the API and the values of the domain (contract 2.3).
//!
//! Nothing here decides whether a value may be: that is validation's. What the wire leaves out gets its default here,
//! and nowhere else.

mod forwarder;
mod inventory;
mod operation;
mod patch;
mod room;
mod scaling;
mod scheduler;
mod spec;

#[cfg(test)]
mod tests;

pub use inventory::{listed_status, rollout, room_detail, room_row, rooms_summary};
pub use operation::{operation, operation_items};
pub use patch::patch;
pub use room::ports;
pub use scheduler::{Wanted, info, scheduler, to_domain, versions, without_spec};

/// Metadata that no reader of documents could read back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata of forwarder {0:?} is nested too deeply: at most 100 levels")]
pub struct TooDeep(String);
