//! Converts between the messages of the API and the types of the domain (contract 2.3).
//!
//! Nothing here decides whether a value is valid: validation does. Fields that a request leaves out get their defaults
//! here, and nowhere else.

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

/// A forwarder's metadata is nested too deeply to be read back once it is stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata of forwarder {0:?} is nested too deeply: at most 100 levels")]
pub struct TooDeep(String);
