//! The folder of all rooms, and its lock: only one process on a machine hosts the rooms of a folder.

use super::{folder, safe_open};
use crate::process::OpenError;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// In the folder of all rooms.
const LOCK: &str = ".lock";

/// The data folder and the rooms folder, as absolute paths; the latter is created if missing.
pub fn open_folders(data: &Path) -> Result<(PathBuf, PathBuf), OpenError> {
    let trouble = |path: &Path| {
        let path = path.to_path_buf();
        |source| OpenError::Folder { path, source }
    };
    let rooms = data.join("rooms");
    folder::create_private(&rooms).map_err(trouble(&rooms))?;
    if rooms.join(LOCK).exists() {
        folder::make_private(&rooms).map_err(trouble(&rooms))?;
    }
    let data = data.canonicalize().map_err(trouble(data))?;
    let rooms = rooms.canonicalize().map_err(trouble(&rooms))?;
    Ok((data, rooms))
}

/// Held until the file is dropped.
pub fn lock_folder(rooms: &Path) -> Result<File, OpenError> {
    let path = rooms.join(LOCK);
    let lock = safe_open::append(&path).map_err(|source| OpenError::Folder { path, source })?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| OpenError::InUse { path: rooms.into() })?;
    Ok(lock)
}
