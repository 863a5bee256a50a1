//! The rules of the contract as plain functions, each tested with a table of cases. Never here: I/O, clocks, state that
//! outlives a call.

pub(crate) mod autoscaling;
pub mod back_off;
pub(crate) mod deletion;
pub(crate) mod desired;
pub mod grouping;
pub mod lease;
pub(crate) mod lifecycle;
pub(crate) mod names;
pub mod patch;
pub mod placement;
pub mod protection;
pub(crate) mod status;
pub(crate) mod surge;
pub mod validation;
pub mod version;
pub mod writing;
