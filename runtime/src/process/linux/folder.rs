//! The folders of rooms: `rooms/<scheduler>/<room>/`. Names are converted to paths only here, and only after they were
//! checked.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::shortage::is_shortage;
use maestro_core::domain::{RoomId, SchedulerName};

pub const RECORD: &str = "room.json";
/// Beside the folders of schedulers, so that moving a room there is a rename.
const TRASH: &str = ".trash";
const WORK: &str = "work";

/// Whether a name is a single path component, not hidden, and made of ordinary characters.
pub fn is_safe_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Creates what is missing of the path, for the owner only. Existing folders keep their mode.
pub fn create_private(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => make_private(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            create_private(parent.ok_or(error)?)?;
            fs::DirBuilder::new().mode(0o700).create(path)?;
            make_private(path)
        }
        Err(error) => Err(error),
    }
}

/// Whether nothing is in the folder.
pub fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().transpose()?.is_none())
}

/// Removes the folder if nothing is in it.
pub fn remove_empty(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// The umask may have removed more than the mode did. A volume without modes is no error.
pub fn make_private(path: &Path) -> io::Result<()> {
    match fs::set_permissions(path, fs::Permissions::from_mode(0o700)) {
        Err(error) if is_refused(&error) => Ok(()),
        other => other,
    }
}

/// Whether a volume refused a change of mode because it has none or keeps its own.
pub fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::Unsupported
            | io::ErrorKind::ReadOnlyFilesystem
    )
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
    pub fn trash(&self) -> PathBuf {
        self.0.join(TRASH)
    }
    /// `None` if the name cannot be one of ours.
    pub fn scheduler(&self, scheduler: &SchedulerName) -> Option<PathBuf> {
        is_safe_name(scheduler.as_str()).then(|| self.0.join(scheduler.as_str()))
    }
    pub fn room(&self, scheduler: &SchedulerName, room: &RoomId) -> Option<RoomFolder> {
        let scheduler = self.scheduler(scheduler)?;
        is_safe_name(room.as_str()).then(|| RoomFolder::new(scheduler.join(room.as_str())))
    }

    /// Folders that look like rooms; others are skipped with a warning.
    pub fn rooms(&self) -> io::Result<Vec<(SchedulerName, RoomId, RoomFolder)>> {
        let mut found = Vec::new();
        for scheduler in subfolders(&self.0)? {
            let scheduler = SchedulerName::from(scheduler.as_str());
            for (room, folder) in self.rooms_of(&scheduler)? {
                found.push((scheduler.clone(), room, folder));
            }
        }
        Ok(found)
    }

    /// The same of one scheduler.
    pub fn rooms_of(&self, scheduler: &SchedulerName) -> io::Result<Vec<(RoomId, RoomFolder)>> {
        let Some(place) = self.scheduler(scheduler) else {
            return Ok(Vec::new());
        };
        let rooms = match subfolders(&place) {
            Err(error) if !is_shortage(&error) => {
                tracing::warn!(folder = %place.display(), %error, "a folder cannot be read, skipped");
                Vec::new()
            }
            read => read?,
        };
        let rooms = rooms.into_iter().map(|room| {
            let folder = RoomFolder::new(place.join(&room));
            (RoomId::from(room.as_str()), folder)
        });
        Ok(rooms.collect())
    }
}

fn subfolders(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || entry.file_name() == TRASH {
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

/// Where a room's working folder is: apart from our files, or mixed with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In `work/`; record and logs are outside it.
    Apart,
    /// In the folder with its record and logs, as rooms up to format 1 do. They stay there for as
    /// long as they live: their environment has the paths.
    Mixed,
}

#[derive(Clone, Debug)]
pub struct RoomFolder {
    path: PathBuf,
    layout: Layout,
}

impl RoomFolder {
    fn new(path: PathBuf) -> Self {
        let layout = Layout::Apart;
        Self { path, layout }
    }
    pub fn laid_out(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }
    /// For a room that runs without a record. Its folders exist before it is started.
    pub fn layout_found(&self) -> Layout {
        match self.path.join(WORK).is_dir() || !self.path.exists() {
            true => Layout::Apart,
            false => Layout::Mixed,
        }
    }
    /// Ours: the record and the logs.
    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn record(&self) -> PathBuf {
        self.path.join(RECORD)
    }
    pub fn log(&self, container: &str) -> PathBuf {
        self.path.join(format!("{container}.log"))
    }
    /// The room's: its working folder and HOME.
    pub fn work(&self) -> PathBuf {
        match self.layout {
            Layout::Apart => self.path.join(WORK),
            Layout::Mixed => self.path.clone(),
        }
    }
    pub fn temporary(&self) -> PathBuf {
        self.work().join("tmp")
    }
    pub fn create(&self) -> io::Result<()> {
        create_private(&self.temporary())
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

    #[test]
    fn folders_are_for_the_owner_and_those_that_were_there_keep_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
        create_private(&there.join("a/b")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&there), 0o755);
        assert_eq!(mode(&there.join("a")), 0o700);
        assert_eq!(mode(&there.join("a/b")), 0o700);
        fs::write(there.join("file"), "").unwrap();
        assert!(create_private(&there.join("file")).is_err());
        assert!(create_private(&there.join("file/below")).is_err());
    }
}
