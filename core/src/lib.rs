//! Domain types, rules, the pure state machine of a scheduler, and the ports to the outside. Never here: I/O, clocks,
//! spawning, actors, databases, HTTP.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

pub mod domain;
pub mod duration;
pub mod ports;
pub mod rules;
pub mod settings;
pub mod state;
pub mod text;
