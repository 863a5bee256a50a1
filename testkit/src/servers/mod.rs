//! Real servers for the tests of adapters: started on free loopback ports, ended with the test.

pub mod pgbouncer;
pub mod postgres;
pub mod redis;
mod resp;
