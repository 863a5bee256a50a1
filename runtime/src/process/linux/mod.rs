//! The process runtime on Linux.

mod adoption;
mod blocking;
mod cgroup;
mod children;
mod cleaner;
mod creation;
mod environment;
mod exit_watch;
mod folder;
mod host;
mod janitor;
mod keeper;
mod live_room;
mod log_writer;
mod logs;
mod marked;
mod plan;
mod ports;
mod process_table;
mod record;
mod restart;
mod rotation;
mod runtime;
mod safe_open;
mod shortage;
mod site;
mod spawn;
mod sweep;
mod trash;
mod unsafe_calls;

pub use log_writer::run as write_log;
pub use marked::{kill_room_processes, room_processes};
pub use runtime::ProcessRuntime;
pub use trash::remove_tree;
pub use unsafe_calls::hear_of_children;
