//! The Postgres half of the cluster store on a real server (contract 8.1).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "postgres/certificates.rs"]
mod certificates;
#[path = "postgres/connecting.rs"]
mod connecting;
#[path = "postgres/migrating.rs"]
mod migrating;
#[path = "postgres/owning.rs"]
mod owning;
#[path = "postgres/support.rs"]
mod support;
