//! Removes trees that rooms made. They may be deeper than any stack and longer than any path,
//! unreadable, full of mounts. A tree is renamed away first, so that its name is free at once; then
//! it is removed from the top: files are deleted, folders move up to the trash itself. So one
//! folder is open at a time, however deep the tree is, and nothing recurses.

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat},
    io::Errno,
};
use std::{
    collections::HashSet,
    ffi::{CStr, CString, OsString},
    fs, io,
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Trees that cannot be removed beyond this number are left for later.
pub const STUCK_MAX: usize = 1_000;
/// For one round over everything: a process may write into a tree faster than it is removed, and a
/// blocking job has 30 s.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// For one tree whose caller is waiting.
const TREE_MAX: Duration = Duration::from_secs(15);

pub struct Trash {
    path: PathBuf,
}

/// What is left of a tree, and the first reason.
#[derive(Debug)]
pub struct Stuck {
    /// In the trash.
    pub name: OsString,
    pub entry: String,
    pub error: io::Error,
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

/// Removes everything in one folder.
struct Clearance<'a> {
    top: OwnedFd,
    device: u64,
    is_over: &'a dyn Fn() -> bool,
    until: Instant,
    stuck: Vec<Stuck>,
}

/// The result of one round over a folder.
#[derive(Default)]
struct Pass {
    changed: bool,
    first: Option<(CString, Errno)>,
}

impl<'a> Clearance<'a> {
    fn new(top: OwnedFd, is_over: &'a dyn Fn() -> bool, within: Duration) -> io::Result<Self> {
        let device = fstat(&top)?.st_dev;
        Ok(Self {
            top,
            device,
            is_over,
            until: Instant::now() + within,
            stuck: Vec::new(),
        })
    }

    /// Repeats while something changes: folders move up meanwhile.
    fn run(mut self, spared: &HashSet<OsString>) -> io::Result<Vec<Stuck>> {
        let mut passed_over = spared.clone();
        loop {
            let mut changed = false;
            for entry in Dir::read_from(&self.top)? {
                let entry = entry?;
                let name = entry.file_name();
                let text = OsString::from_vec(name.to_bytes().to_vec());
                if is_dots(name) || passed_over.contains(&text) {
                    continue;
                }
                if (self.is_over)() || self.stuck.len() >= STUCK_MAX {
                    return Ok(self.stuck);
                }
                if Instant::now() >= self.until {
                    self.stuck.push(Stuck {
                        name: text,
                        entry: name.to_string_lossy().into_owned(),
                        error: io::Error::new(
                            io::ErrorKind::TimedOut,
                            "it is not empty yet: it is large, or something still writes into it",
                        ),
                    });
                    return Ok(self.stuck);
                }
                let pass = self.remove(name);
                changed |= pass.changed;
                if let (false, Some((entry, error))) = (pass.changed, pass.first) {
                    passed_over.insert(text.clone());
                    self.stuck.push(Stuck {
                        name: text,
                        entry: entry.to_string_lossy().into_owned(),
                        error: error.into(),
                    });
                }
            }
            if !changed {
                return Ok(self.stuck);
            }
        }
    }

    /// An entry at the top: it is removed, or its content is removed or moves up.
    fn remove(&self, name: &CStr) -> Pass {
        let mut pass = Pass::default();
        match unlinkat(&self.top, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {
                pass.changed = true;
                return pass;
            }
            Err(Errno::ISDIR) => {}
            // An entry that cannot be unlinked may still be a folder.
            Err(error) => pass.first = Some((name.to_owned(), error)),
        }
        let folder = match self.open(name) {
            Ok(folder) => folder,
            Err(Errno::NOTDIR | Errno::LOOP) => return pass,
            Err(error) => {
                pass.first = Some((name.to_owned(), error));
                return pass;
            }
        };
        pass.first = None;
        if let Err(error) = self.take_apart(&folder, &mut pass) {
            pass.first.get_or_insert((name.to_owned(), error));
        }
        drop(folder);
        match unlinkat(&self.top, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {
                pass.changed = true;
                pass.first = None;
            }
            Err(error) => {
                pass.first.get_or_insert((name.to_owned(), error));
            }
        }
        pass
    }

    fn take_apart(&self, folder: &OwnedFd, pass: &mut Pass) -> Result<(), Errno> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name) {
                continue;
            }
            if (self.is_over)() || Instant::now() >= self.until {
                return Ok(());
            }
            let removed = match entry.file_type() {
                FileType::Directory => self.lift(folder, name),
                _ => match unlinkat(folder, name, AtFlags::empty()) {
                    Err(Errno::ISDIR) => self.lift(folder, name),
                    other => other,
                },
            };
            match removed {
                Ok(()) | Err(Errno::NOENT) => pass.changed = true,
                Err(error) => {
                    pass.first.get_or_insert((name.to_owned(), error));
                }
            }
        }
        Ok(())
    }

    /// An empty folder is removed, another one moves to the top. A mount point does neither, so no
    /// other file system is ever entered.
    fn lift(&self, folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        match unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
            other => return other,
        }
        let lifted = fresh_name();
        match renameat(folder, name, &self.top, &lifted) {
            Err(Errno::ACCESS) => {
                make_usable(folder, name)?;
                renameat(folder, name, &self.top, &lifted)
            }
            other => other,
        }
    }

    /// A folder of the top, readable and writable.
    fn open(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        let folder = match open_folder(&self.top, name) {
            Err(Errno::ACCESS) => {
                make_usable(&self.top, name)?;
                open_folder(&self.top, name)?
            }
            other => other?,
        };
        let status = fstat(&folder)?;
        if status.st_dev != self.device {
            return Err(Errno::BUSY);
        }
        if status.st_mode & 0o700 != 0o700 {
            fchmod(&folder, Mode::RWXU)?;
        }
        Ok(folder)
    }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn open_folder(at: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

/// Restores the owner's rights. By the descriptor of the folder, since a name could have become a
/// link.
fn make_usable(at: impl AsFd, name: &CStr) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(at, name, flags, Mode::empty())?;
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    rustix::fs::chmod(path, Mode::RWXU)
}

fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// A name that no entry had before, in whichever process.
fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;

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
        assert!(empty(&trash).is_empty());
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
