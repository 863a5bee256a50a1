//! The process runtime on Linux.

mod adoption;
mod cgroup;
mod creation;
mod environment;
mod exit_watch;
mod folder;
mod host;
mod janitor;
mod keeper;
mod live_room;
mod logs;
mod plan;
mod ports;
mod process_table;
mod record;
mod restart;
mod runtime;
mod safe_open;
mod shortage;
mod spawn;
mod sweep;
mod unsafe_calls;

pub use runtime::{ProcessRuntime, room_processes};
