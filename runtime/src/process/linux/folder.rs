//! Where rooms are on disk: `rooms/<scheduler>/<room>/`. Names become paths here only,
//! and only after they were found harmless.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::shortage::is_shortage;
use maestro_core::domain::{RoomId, SchedulerName};

pub const RECORD: &str = "room.json";

/// A name that is one path component, visible and of ordinary letters.
pub fn is_safe_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

pub fn create_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[derive(Clone, Debug)]
pub struct RoomsFolder(PathBuf);

impl RoomsFolder {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// `None`: such a name was never one of ours.
    pub fn scheduler(&self, scheduler: &SchedulerName) -> Option<PathBuf> {
        is_safe_name(scheduler.as_str()).then(|| self.0.join(scheduler.as_str()))
    }
    pub fn room(&self, scheduler: &SchedulerName, room: &RoomId) -> Option<RoomFolder> {
        let scheduler = self.scheduler(scheduler)?;
        is_safe_name(room.as_str()).then(|| RoomFolder(scheduler.join(room.as_str())))
    }

    /// Folders that look like rooms; others are skipped with a warning.
    pub fn rooms(&self) -> io::Result<Vec<(SchedulerName, RoomId, RoomFolder)>> {
        let mut found = Vec::new();
        for scheduler in subfolders(&self.0)? {
            let place = self.0.join(&scheduler);
            let rooms = match subfolders(&place) {
                Err(error) if !is_shortage(&error) => {
                    tracing::warn!(folder = %place.display(), %error, "a folder cannot be read, skipped");
                    Vec::new()
                }
                read => read?,
            };
            for room in rooms {
                let path = place.join(&room);
                found.push((
                    SchedulerName::from(scheduler.as_str()),
                    RoomId::from(room.as_str()),
                    RoomFolder(path),
                ));
            }
        }
        Ok(found)
    }
}

fn subfolders(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        match entry.file_name().into_string() {
            Ok(name) if is_safe_name(&name) => names.push(name),
            name => {
                tracing::warn!(folder = %path.display(), ?name, "not a folder of ours, skipped")
            }
        }
    }
    Ok(names)
}

#[derive(Clone, Debug)]
pub struct RoomFolder(PathBuf);

impl RoomFolder {
    pub fn path(&self) -> &Path {
        &self.0
    }
    pub fn record(&self) -> PathBuf {
        self.0.join(RECORD)
    }
    pub fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }
    pub fn log(&self, container: &str) -> PathBuf {
        self.0.join(format!("{container}.log"))
    }
    pub fn create(&self) -> io::Result<()> {
        create_private(&self.temporary())
    }
    pub fn delete(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_no_names() {
        for name in ["", ".", "..", "../x", "a/b", "a\0", ".hidden", "ä", "a b"] {
            assert!(!is_safe_name(name), "{name:?}");
        }
        assert!(is_safe_name("blue-fleet-x1b2c"));
        assert!(!is_safe_name(&"a".repeat(254)));
    }
}
