//! Settings of a process runtime, and the errors of opening it.

use maestro_core::domain::PortRange;
use std::{io, path::PathBuf, time::Duration};

#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// Holds `rooms/` (ours) and `secrets/` (the user's).
    pub data_dir: PathBuf,
    /// Uuid of this installation: in every room's environment, so that its processes can be told
    /// from another installation's on the same machine.
    pub installation: String,
    /// Where rooms reach the rooms API, for example `http://127.0.0.1:8070`.
    pub rooms_api_url: String,
    /// Address that players are given for rooms.
    pub host: String,
    /// For ports without a range of their own (`adapters.portAllocator.random.range`).
    pub default_ports: Option<PortRange>,
    /// Its folder comes first in the rooms' PATH; `None`: the running executable.
    pub own_binary: Option<PathBuf>,
    /// Our own program, which runs between rooms and their logs as one process for each container
    /// (see [`super::write_log`]); `None`: rooms write directly into files, which they can
    /// truncate, and which a flood makes grow between two rounds.
    pub log_writer: Option<PathBuf>,
    /// A log longer than this is rotated.
    pub log_bytes: u64,
    /// Log files per container, the current one included.
    pub log_files: usize,
    /// How often the sizes of logs are checked.
    pub log_check_every: Duration,
    /// Folders of ended rooms per scheduler.
    pub keep_ended: usize,
    pub keep_ended_for: Duration,
    /// Rooms that this process may have, for all schedulers together (`limits.rooms.perNode`).
    pub rooms_max: usize,
    /// Rooms that are being spawned at the same time.
    pub spawns_at_once: usize,
}

/// The size and number of the files of one log.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    pub bytes: u64,
    pub files: usize,
}

impl ProcessSettings {
    pub fn log_rotation(&self) -> Rotation {
        Rotation {
            bytes: self.log_bytes,
            files: self.log_files,
        }
    }

    pub fn new(data_dir: impl Into<PathBuf>, installation: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            installation: installation.into(),
            rooms_api_url: "http://127.0.0.1:8070".into(),
            host: "127.0.0.1".into(),
            default_ports: None,
            own_binary: None,
            log_writer: None,
            log_bytes: 10 * 1024 * 1024,
            log_files: 3,
            log_check_every: Duration::from_secs(5),
            keep_ended: 50,
            keep_ended_for: Duration::from_secs(24 * 60 * 60),
            rooms_max: usize::MAX,
            spawns_at_once: 16,
        }
    }
}

/// Why rooms cannot be run as processes here.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("rooms as local processes need Linux; on this system set runtime.type to kubernetes")]
    UnsupportedSystem,
    #[error(
        "rooms as local processes need Linux 5.3 or newer with /proc mounted ({what}): {source}"
    )]
    UnsupportedKernel {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("installation {0:?} is not a uuid")]
    Installation(String),
    #[error("the process runtime must be opened inside a tokio runtime")]
    NoTokioRuntime,
    #[error(
        "cannot use the folder {path}: {source}; make it writable or choose another data folder"
    )]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the rooms in {path} are hosted by another process; only one process per machine may host them: stop it first"
    )]
    InUse { path: PathBuf },
}
