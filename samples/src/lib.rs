//! Programs that show what Maestro does, and that its tests are made with: a game room, a matchmaker's forwarder, and a
//! demonstration of a whole fleet.
//!
//! They know a server through its APIs only. The demonstration is given one to start.

// They panic where stdout or stderr is closed: see `maestro_cli::print`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod demo;
pub mod forwarder;
pub mod room;
