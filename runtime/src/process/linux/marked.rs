//! Finds processes by the marks in their environment, for callers without a record of them.

use super::{exit_watch::signal_process, process_table};
use crate::process::RoomProcess;
use std::io;

/// All running processes that were started for rooms of this installation, whatever the records say.
///
/// # Errors
/// When the table of processes cannot be read.
pub fn room_processes(installation: &str) -> io::Result<Vec<RoomProcess>> {
    let rows = process_table::scan()?;
    let alive = rows.into_iter().filter(|row| row.stat.alive());
    Ok(alive
        .filter_map(|row| {
            let (scheduler, room) = row.marks.of_room(installation)?;
            Some(RoomProcess {
                pid: row.id.pid,
                scheduler,
                room,
                container: row.marks.container.unwrap_or_default(),
            })
        })
        .collect())
}

/// Kills everything that [`room_processes`] returns, once; returns how many. For an installation that is not running
/// any more: the next call finds what a room forks meanwhile.
///
/// # Errors
/// When the table of processes cannot be read.
pub fn kill_room_processes(installation: &str) -> io::Result<usize> {
    let rows = process_table::scan()?;
    let marked =
        |row: &&process_table::Row| row.stat.alive() && row.marks.of_room(installation).is_some();
    let found: Vec<_> = rows.iter().filter(marked).collect();
    for row in &found {
        signal_process(row.id, rustix::process::Signal::KILL);
    }
    Ok(found.len())
}
