//! Sample programs, also used by the tests: a game room, a matchmaker's forwarder, and a demonstration of a whole
//! fleet.
//!
//! They know a server only through its APIs. The demonstration is passed one to start.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]
// They panic where stdout or stderr is closed: see `maestro_cli::print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod demo;
pub mod forwarder;
pub mod room;
