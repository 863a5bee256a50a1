//! Rooms as real processes of this machine, which outlive the orchestrator.
//!
//! | file | holds |
//! |---|---|
//! | `runtime`, `opening`, `host` | the port, and what all rooms of the machine share |
//! | `plan`, `environment`, `quantity` | what a room is to be started with, decided before anything starts |
//! | `creation`, `spawn`, `unsafe_calls` | starting it |
//! | `room_supervisor`, `live_room`, `restart`, `exit_watch`, `sweep` | one task per room: exits, restarts,
//! termination |
//! | `adoption`, `record`, `folder`, `process_table` | what survives us, and how it is found again |
//! | `feeds` | what watchers are told |
//! | `log_writer`, `logs`, `rotation` | the process between a room and its log, reading logs, logs without such a
//! process |
//! | `ports`, `cgroup`, `janitor`, `children` | host ports, limits, upkeep of logs, whose end is whose to wait for |
//! | `usage` | what rooms use |
//! | `trash`, `clearance`, `cleaner` | what rooms leave on the disk |
//! | `safe_open`, `blocking`, `shortage` | files that a room may have made something else of, work that may hang,
//! errors that say nothing about a room |
//!
//! Never: polling for exits while there are descriptors, a pipe between a room and this process (it
//! would break with us), a kill on drop, a signal to a process whose start time was not compared, a
//! failed inspection taken for an end.

mod room_process;
mod settings;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

pub use room_process::RoomProcess;
pub use settings::{OpenError, ProcessSettings};

#[cfg(target_os = "linux")]
pub use linux::{
    ProcessRuntime, hear_of_children, kill_room_processes, remove_tree, room_processes,
    survive_file_limits, unblock_signals, write_log,
};
#[cfg(not(target_os = "linux"))]
pub use unsupported::{
    ProcessRuntime, hear_of_children, kill_room_processes, remove_tree, room_processes,
    survive_file_limits, unblock_signals, write_log,
};
