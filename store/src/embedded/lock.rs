//! The file `LOCK` of a data folder: one process at a time, and it names that process.
//!
//! The lock ends with the process, however it ends. It is never inherited by rooms (the
//! descriptor is closed on exec), which outlive us.

use super::{error::OpenError, private};
use jiff::{SignedDuration, Timestamp};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

const NAME: &str = "LOCK";

/// A held lock; dropping it releases it.
pub struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    pub fn acquire(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(NAME);
        let mut file = private::open_file(&path).map_err(|e| OpenError::io(&path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(OpenError::InUse {
                    dir: dir.into(),
                    holder: holder(&mut file),
                });
            }
            Err(e) => return Err(OpenError::io(&path, e.into())),
        }
        let lock = Self { file, path };
        lock.sign().map_err(|e| OpenError::io(&lock.path, e))?;
        if !lock.is_ours() {
            // The file was removed between opening and locking it.
            return Err(OpenError::InUse {
                dir: dir.into(),
                holder: "a process that has just started".into(),
            });
        }
        Ok(lock)
    }

    /// Whether the file of that name is still the locked one: if it was removed or replaced, another process can lock
    /// the new one.
    pub fn is_ours(&self) -> bool {
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
            _ => false,
        }
    }

    fn sign(&self) -> io::Result<()> {
        let text = format!("{} {}\n", std::process::id(), process_start());
        self.file.set_len(0)?;
        (&self.file).rewind()?;
        (&self.file).write_all(text.as_bytes())
    }
}

/// Describes the holder of the lock, from what that process wrote into the file.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // The holder may be writing it right now: an empty file is no error.
    let _ = file.take(256).read_to_string(&mut text);
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(pid), Some(start)) => format!("process {pid} (started {start})"),
        _ => "another process".into(),
    }
}

/// When this process started, to the second; the time of the call if the system does not say.
fn process_start() -> Timestamp {
    let now = Timestamp::now();
    let at = process_age().and_then(|age| now.checked_sub(age).ok());
    at.unwrap_or(now)
        .round(jiff::Unit::Second)
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn process_age() -> Option<SignedDuration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Field 22 of the line; the second one, the name, may contain spaces and brackets.
    let start_ticks: u64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime_seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let start_seconds = start_ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    SignedDuration::try_from_secs_f64(uptime_seconds - start_seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = LockFile::acquire(dir.path()).unwrap();
        let refused = LockFile::acquire(dir.path()).err().unwrap().to_string();
        let pid = std::process::id();
        assert!(
            refused.contains(&format!("is in use by process {pid} (started 2")),
            "{refused}"
        );
        drop(held);
        assert!(LockFile::acquire(dir.path()).is_ok());
    }

    #[test]
    fn a_removed_file_is_no_longer_ours() {
        let dir = tempfile::tempdir().unwrap();
        let held = LockFile::acquire(dir.path()).unwrap();
        assert!(held.is_ours());
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        assert!(!held.is_ours());
        let other = LockFile::acquire(dir.path()).unwrap();
        assert!(other.is_ours());
        assert!(!held.is_ours());
    }
}
