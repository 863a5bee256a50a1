//! Removes directory trees that rooms created. They may be nested deeper than a recursion allows, have longer paths
//! than the system accepts, be unreadable, or contain mounts. A tree is moved into the trash first, so that its name is
//! free at once; then it is removed (`clearance`).

use super::clearance::{Clearance, Stuck, c_string, fresh_name, open_folder};
use rustix::fs::CWD;
use std::{
    collections::HashSet,
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// For one round over everything: a process may write into a tree faster than it is removed, and a
/// blocking job has 30 s.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// For one tree whose caller is waiting.
const TREE_MAX: Duration = Duration::from_secs(15);

pub struct Trash {
    path: PathBuf,
}

impl Trash {
    pub fn new(path: PathBuf) -> io::Result<Self> {
        super::folder::create_private(&path)?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Frees the name of a file or folder. A missing one is no error.
    pub fn take(&self, path: &Path) -> io::Result<()> {
        let away = || fs::rename(path, self.path.join(fresh_name()));
        let taken = match away() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // A folder that moves must be writable itself, since its `..` changes.
                let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
                away()
            }
            other => other,
        };
        match taken {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => remove_tree(path),
            other => other,
        }
    }

    /// Removes everything taken except `spared`; ends early when `is_over`.
    pub fn empty(
        &self,
        spared: &HashSet<OsString>,
        is_over: &dyn Fn() -> bool,
    ) -> io::Result<Vec<Stuck>> {
        let folder = open_folder(CWD, &c_string(self.path.as_os_str().to_owned())?)?;
        Clearance::new(folder, is_over, LOOK_MAX)?.run(spared)
    }
}

/// Removes a folder and everything below it, whatever a room did to it; a missing one is no error.
/// Other file systems are not touched. For unused trees; rooms of a running runtime go through its
/// own trash.
///
/// # Errors
/// The first reason why something is left.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_dir() => return fs::remove_file(path),
        Ok(_) => {}
    }
    let folder = open_folder(CWD, &c_string(path.as_os_str().to_owned())?)?;
    let stuck = Clearance::new(folder, &|| false, TREE_MAX)?.run(&HashSet::new())?;
    match stuck.into_iter().next() {
        Some(stuck) => Err(io::Error::new(
            stuck.error.kind(),
            format!("{}: {}", stuck.entry, stuck.error),
        )),
        None => fs::remove_dir(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, mkdirat};
    use std::sync::atomic::{AtomicU64, Ordering};

    fn trash(folder: &Path) -> Trash {
        Trash::new(folder.join("trash")).unwrap()
    }

    fn empty(trash: &Trash) -> Vec<Stuck> {
        trash.empty(&HashSet::new(), &|| false).unwrap()
    }

    fn is_empty(folder: &Path) -> bool {
        fs::read_dir(folder).unwrap().next().is_none()
    }

    /// Deeper than a stack of 2 MiB allows and longer than a path may be.
    fn nest(folder: &Path, depth: usize) {
        let mut at = open_folder(CWD, &c_string(folder.as_os_str().to_owned()).unwrap()).unwrap();
        for _ in 0..depth {
            mkdirat(&at, c"d", Mode::RWXU).unwrap();
            at = open_folder(&at, c"d").unwrap();
        }
    }

    #[test]
    fn a_tree_that_grows_for_ever_is_left_for_another_time() {
        let folder = tempfile::tempdir().unwrap();
        let grows = folder.path().join("grows");
        fs::create_dir(&grows).unwrap();
        let count = AtomicU64::new(0);
        // Like a process that still has it as its working folder.
        let grow = || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let _ = fs::write(grows.join(number.to_string()), "x");
            false
        };
        let top = open_folder(CWD, &c_string(folder.path().into()).unwrap()).unwrap();
        let clearance = Clearance::new(top, &grow, Duration::from_millis(100)).unwrap();
        let stuck = clearance.run(&HashSet::new()).unwrap();
        assert_eq!(stuck[0].name, "grows");
        assert_eq!(stuck[0].error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        // In memory if possible: a disk takes a minute for so many folders.
        let memory = tempfile::tempdir_in("/dev/shm");
        let folder = memory.or_else(|_| tempfile::tempdir()).unwrap();
        let (room, tree) = (folder.path().join("room"), folder.path().join("tree"));
        for (folder, depth) in [(&room, 60_000), (&tree, 3_000)] {
            fs::create_dir(folder).unwrap();
            nest(folder, depth);
            fs::write(folder.join("d/d/file"), "x").unwrap();
        }
        let trash = trash(folder.path());
        trash.take(&room).unwrap();
        assert!(!room.exists());
        // A busy machine takes more than one round for it.
        assert!((0..10).any(|_| empty(&trash).is_empty()));
        assert!(is_empty(trash.path()));
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (room, other) = (folder.path().join("room"), folder.path().join("other"));
        fs::create_dir_all(room.join("a/b")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(&other, room.join("link")).unwrap();
        std::os::unix::fs::symlink(&other, room.join("a/b/link")).unwrap();
        let trash = trash(folder.path());
        std::os::unix::fs::symlink(&other, trash.path().join("link")).unwrap();
        trash.take(&room).unwrap();
        trash.take(&folder.path().join("nothing")).unwrap();
        assert!(empty(&trash).is_empty());
        assert!(is_empty(trash.path()));
        assert!(other.join("kept").exists());
    }

    #[test]
    fn many_entries_and_folders_without_rights_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let room = folder.path().join("room");
        for wide in 0..40 {
            let place = room.join(format!("{wide}/x/y"));
            fs::create_dir_all(&place).unwrap();
            for number in 0..40 {
                fs::write(place.join(number.to_string()), "").unwrap();
            }
            for (mode, path) in [
                (0o000, place.clone()),
                (0o500, place.parent().unwrap().into()),
            ] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        fs::set_permissions(&room, fs::Permissions::from_mode(0o500)).unwrap();
        let trash = trash(folder.path());
        trash.take(&room).unwrap();
        assert!(empty(&trash).is_empty());
        assert!(is_empty(trash.path()));
    }

    #[test]
    fn what_is_spared_stays_and_a_stop_ends_it_early() {
        let folder = tempfile::tempdir().unwrap();
        let trash = trash(folder.path());
        for name in ["a", "b"] {
            fs::create_dir_all(trash.path().join(name).join("below")).unwrap();
        }
        assert!(trash.empty(&HashSet::new(), &|| true).unwrap().is_empty());
        assert!(trash.path().join("a").exists());
        let spared = HashSet::from(["a".into()]);
        assert!(trash.empty(&spared, &|| false).unwrap().is_empty());
        assert!(trash.path().join("a").exists());
        assert!(!trash.path().join("b").exists());
    }
}
