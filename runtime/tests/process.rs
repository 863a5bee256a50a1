//! The process runtime with real processes: the contract of all runtimes, and what is
//! special to processes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "process/adoption.rs"]
mod adoption;
#[path = "process/bench.rs"]
mod bench;
#[path = "process/ends.rs"]
mod ends;
#[path = "process/mended.rs"]
mod mended;
#[path = "process/proof.rs"]
mod proof;
#[path = "process/site.rs"]
mod site;
#[path = "process/start.rs"]
mod start;
#[path = "process/strange.rs"]
mod strange;
#[path = "process/upkeep.rs"]
mod upkeep;

mod contract {
    maestro_testkit::runtime_contract!(crate::site::Site::new());
}
