//! Removes directory trees from the top: files are deleted, folders are moved up. Only one folder is open at a time,
//! however deep the tree is, and nothing recurses.

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat},
    io::Errno,
};
use std::{
    collections::HashSet,
    ffi::{CStr, CString, OsString},
    io,
    os::unix::ffi::OsStringExt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Trees that cannot be removed beyond this number are left for later.
pub const STUCK_MAX: usize = 1_000;

/// What is left of a tree, and the first reason.
#[derive(Debug)]
pub struct Stuck {
    /// In the trash.
    pub name: OsString,
    pub entry: String,
    pub error: io::Error,
}

/// Removes everything in one folder.
pub struct Clearance<'a> {
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
    pub fn new(top: OwnedFd, is_over: &'a dyn Fn() -> bool, within: Duration) -> io::Result<Self> {
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
    pub fn run(mut self, spared: &HashSet<OsString>) -> io::Result<Vec<Stuck>> {
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

/// Opens a folder, and no link to one.
pub fn open_folder(at: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
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

pub fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// A name that no entry had before, in whichever process.
pub fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", uuid::Uuid::new_v4().simple())
}
