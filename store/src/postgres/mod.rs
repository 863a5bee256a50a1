//! The Postgres half of the cluster store: schedulers and their versions, in the original's tables (contract 8.1).

pub mod document;
pub mod reads;
pub mod rows;
