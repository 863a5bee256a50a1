//! Rooms as real processes of this machine, which outlive the orchestrator.
//!
//! | file | holds |
//! |---|---|
//! | `runtime`, `host` | the port, and what all rooms of the machine share |
//! | `plan`, `environment`, `quantity` | what a room is to be started with, decided before anything starts |
//! | `creation`, `spawn`, `unsafe_calls` | starting it |
//! | `keeper`, `live_room`, `restart`, `exit_watch`, `sweep` | one task per room: exits, restarts, termination |
//! | `adoption`, `record`, `folder`, `process_table` | what survives us, and how it is found again |
//! | `feeds` | what watchers are told |
//! | `ports`, `cgroup`, `logs`, `janitor` | host ports, limits, logs |
//! | `trash`, `cleaner` | what rooms leave on the disk |
//! | `safe_open`, `blocking` | files that a room may have made something else of, work that may hang |
//!
//! Never: a poll for exits, a pipe to a room (it would break with us), a kill on drop,
//! a signal to a process whose start time was not compared.

mod room_process;
mod settings;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

pub use room_process::RoomProcess;
pub use settings::{OpenError, ProcessSettings};

#[cfg(target_os = "linux")]
pub use linux::{ProcessRuntime, kill_room_processes, remove_tree, room_processes};
#[cfg(not(target_os = "linux"))]
pub use unsupported::{ProcessRuntime, kill_room_processes, remove_tree, room_processes};
