//! `room.json`: what a later process must know about a room.

use super::{
    folder::{Layout, RoomFolder},
    process_table::ProcessId,
    safe_open,
};
use jiff::Timestamp;
use maestro_core::domain::{ConfigPairs, Restart, RoomId, SchedulerName, SchedulerVersion, Spec};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
};

/// Up to format 1 the record is in the room's working folder.
pub const FORMAT: u32 = 2;
/// A record is a few kilobytes, and more with a large configuration; a larger file is not ours and is not read into
/// memory.
const RECORD_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The format of a record that is written for a room of this layout.
pub fn format_of(layout: Layout) -> u32 {
    match layout {
        Layout::Apart => FORMAT,
        Layout::Mixed => 1,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Written before the first process starts: everything that runs under this id is ours.
    Starting,
    Running,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProcess {
    pub container: String,
    #[serde(flatten)]
    pub id: ProcessId,
}

/// The restarts in place of one container, for the process that adopts the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRestarts {
    pub container: String,
    /// Number of ends since its last healthy run.
    pub in_a_row: u32,
    /// `None` if it has been restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitsForRestart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsForRestart {
    pub until: Timestamp,
    /// How it ended, as a text for people.
    pub description: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomFile {
    pub format: u32,
    pub installation: String,
    pub scheduler: SchedulerName,
    pub room: RoomId,
    pub version: SchedulerVersion,
    pub validation: bool,
    /// The recipe, since a restart in place may come long after the order.
    pub spec: Spec,
    /// Variables of every container, of the version's configuration.
    #[serde(default, skip_serializing_if = "ConfigPairs::is_empty")]
    pub config: ConfigPairs,
    pub host_ports: Vec<u16>,
    pub boot_id: String,
    /// Of the first process; stays when containers are started again.
    pub uid: String,
    pub resource_version: u64,
    pub phase: Phase,
    pub processes: Vec<ContainerProcess>,
    /// Containers that exited 0 and are not started again: the room continues without them (D31).
    #[serde(default)]
    pub completed: Vec<String>,
    /// The latest restart in place of any container, as it was reported.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// Containers that were or will be restarted in place.
    #[serde(default)]
    pub restarted: Vec<ContainerRestarts>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// How it ended, for people.
    pub end: Option<String>,
}

impl RoomFile {
    pub fn layout(&self) -> Layout {
        match self.format {
            ..2 => Layout::Mixed,
            _ => Layout::Apart,
        }
    }

    pub fn process(&self, container: &str) -> Option<ProcessId> {
        self.processes
            .iter()
            .find(|process| process.container == container)
            .map(|process| process.id)
    }

    pub fn set_process(&mut self, container: &str, id: ProcessId) {
        match self.processes.iter_mut().find(|p| p.container == container) {
            Some(process) => process.id = id,
            None => self.processes.push(ContainerProcess {
                container: container.into(),
                id,
            }),
        }
    }

    pub fn restarts_of(&self, container: &str) -> Option<&ContainerRestarts> {
        self.restarted.iter().find(|r| r.container == container)
    }

    pub fn set_restarts(&mut self, restarts: ContainerRestarts) {
        let container = &restarts.container;
        match self
            .restarted
            .iter_mut()
            .find(|r| r.container == *container)
        {
            Some(known) => *known = restarts,
            None => self.restarted.push(restarts),
        }
    }

    /// The container that waits for its restart; of several, the one that has waited longest.
    pub fn waits_for_restart(&self) -> Option<&WaitsForRestart> {
        let waits = self.restarted.iter().filter_map(|r| r.waits.as_ref());
        waits.max_by_key(|waits| waits.until)
    }

    /// Replaces the record in one step: a reader sees the old one or the new one.
    pub fn write(&self, folder: &RoomFolder) -> io::Result<()> {
        let temporary = folder.path().join("room.json.new");
        let mut file = safe_open::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_data()?;
        fs::rename(&temporary, folder.record())
    }

    /// `Ok(None)`: there is none.
    pub fn read(folder: &RoomFolder) -> io::Result<Option<Self>> {
        let file = match safe_open::read(&folder.record()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let bytes = safe_open::read_all(file, RECORD_BYTES_MAX)?;
        let record: Self = serde_json::from_slice(&bytes)?;
        if record.format > FORMAT {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("written by a newer version (format {})", record.format),
            ));
        }
        Ok(Some(record))
    }
}
