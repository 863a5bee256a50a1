//! The file that marks a folder as created by a demonstration, and names the installation whose rooms ran in it.
//!
//! A folder that is deleted without asking must be ours beyond doubt. A name proves nothing: users may give such names
//! to their own folders or to copies of ours. So the marker names the folder that it was written in, by name and inode.

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::getuid;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

pub const NAME: &str = "MAESTRO-DEMO";
/// The prefix of the folders of demonstrations.
pub const PREFIX: &str = "maestro-demo-";
const INSTALLATION: &str = "installation ";
const BYTES_MAX: u64 = 4096;

/// The marker of a folder. Its file is locked for as long as the demonstration lives.
pub struct Marker(File);

impl Marker {
    /// Marks a folder that was just created.
    ///
    /// # Errors
    /// If the file cannot be written, or exists already.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let head = head(folder)?;
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        let mut file = options.open(folder.join(NAME))?;
        // The lock comes before the content: who can read the marker sees that we are running.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(head.as_bytes())?;
        Ok(Self(file))
    }

    /// Adds the installation whose rooms will run in the folder. Must be called before the first room.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add_installation(&mut self, installation: &str) -> io::Result<()> {
        let line = format!("{INSTALLATION}{installation}\n");
        self.0.write_all(line.as_bytes())
    }
}

/// Whether a demonstration of this user created this very folder.
pub fn is_marked(folder: &Path) -> bool {
    read(folder).is_some()
}

/// The folder of a demonstration that has ended.
pub struct Abandoned {
    /// Empty: it had no rooms yet.
    pub installation: String,
    /// Keeps others from cleaning it up at the same time.
    _lock: File,
}

/// `None`: the folder belongs to no demonstration, or to a running one.
pub fn abandoned(folder: &Path) -> Option<Abandoned> {
    let (file, installation) = read(folder)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(Abandoned {
        installation,
        _lock: file,
    })
}

/// The file and the installation in it.
fn read(folder: &Path) -> Option<(File, String)> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(folder.join(NAME)).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.uid() != getuid().as_raw() {
        return None;
    }
    let mut text = String::new();
    (&file).take(BYTES_MAX).read_to_string(&mut text).ok()?;
    let rest = text.strip_prefix(&head(folder).ok()?)?;
    let installation = match rest {
        "" => "",
        line => line.strip_prefix(INSTALLATION)?.strip_suffix('\n')?,
    };
    Some((file, installation.to_owned()))
}

/// The first part of the marker, written at its creation.
fn head(folder: &Path) -> io::Result<String> {
    let name = folder.file_name().and_then(OsStr::to_str);
    let name = name.filter(|name| name.starts_with(PREFIX));
    let name = name.ok_or(io::ErrorKind::InvalidFilename)?;
    // Links are not followed: their targets have other names.
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != getuid().as_raw() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let inode = metadata.ino();
    Ok(format!(
        "maestro demo: this folder is deleted when the demo has ended\nfolder {name} {inode}\n"
    ))
}
