//! The rules of the contract as plain functions, each tested with a table of cases. Never here: I/O, clocks, state that
//! outlives a call.

pub mod autoscaling;
pub mod back_off;
pub mod deletion;
pub mod desired;
pub mod names;
pub mod patch;
pub mod status;
pub mod surge;
pub mod validation;
pub mod version;
pub mod writing;
