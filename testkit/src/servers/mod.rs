//! Servers for the tests of adapters: real ones, started on free loopback ports and ended with the test, and scripted
//! ones.

pub mod http;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod redis;
mod resp;
