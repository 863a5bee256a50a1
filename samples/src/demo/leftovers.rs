//! Leftovers of demonstrations that were killed together with their watchdogs.

use super::api::SCHEDULER;
use super::marker::{self, PREFIX};
use super::watchdog::clean;
use maestro_core::domain::Scheduler;
use maestro_store::embedded::ClaimedFolder;
use rustix::process::getuid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Maximum folders that one start checks.
const FOLDERS_MAX: usize = 1000;
/// What follows the prefix in the name of a demonstration's folder.
const RANDOM_LETTERS: usize = 6;
const LOCK: &str = "LOCK";
const STORE: &str = "maestro.redb";
/// Everything that old demonstrations, which wrote no marker, left in their folders.
const UNMARKED: [&str; 3] = [LOCK, STORE, "rooms"];
/// The arguments of the program in their rooms' command.
const ARGUMENTS: [&str; 3] = ["room", "--ping-interval", "1s"];

/// Ends the rooms and deletes the folders of dead demonstrations; returns their number. A folder that may be anything
/// else is kept, and so is one that a running process works in.
pub fn sweep(temporary: &Path) -> usize {
    let Ok(entries) = fs::read_dir(temporary) else {
        return 0;
    };
    let named = |entry: &fs::DirEntry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
    };
    let folders = entries.flatten().filter(named).take(FOLDERS_MAX);
    folders.filter(|folder| sweep_one(&folder.path())).count()
}

fn sweep_one(folder: &Path) -> bool {
    if let Some(left) = marker::abandoned(folder) {
        // A server that was started on an abandoned folder holds its lock.
        return !is_served(folder) && clean(folder, &left.installation);
    }
    if marker::is_marked(folder) || !looks_unmarked(folder) {
        return false;
    }
    let Ok(claimed) = ClaimedFolder::claim(folder) else {
        return false;
    };
    match claimed.contents() {
        Ok(contents) => match contents.schedulers.as_slice() {
            [only] if is_the_demos(only) => clean(folder, &contents.installation),
            _ => false,
        },
        // The store cannot be read, so the owner of its rooms is unknown.
        Err(_) => false,
    }
}

/// Whether a server holds the folder's lock. A folder without a lock file is not served, and none is created to find
/// out.
fn is_served(folder: &Path) -> bool {
    is_file(&folder.join(LOCK)) && ClaimedFolder::claim(folder).is_err()
}

/// Whether the folder looks like one of an old demonstration that wrote no marker: nothing else is in it.
fn looks_unmarked(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    let random = name.and_then(|name| name.strip_prefix(PREFIX));
    let is_random = random.is_some_and(|random| {
        random.len() == RANDOM_LETTERS && random.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    let is_ours = fs::symlink_metadata(folder)
        .is_ok_and(|present| present.is_dir() && present.uid() == getuid().as_raw());
    if !is_random || !is_ours || !is_file(&folder.join(LOCK)) || !is_file(&folder.join(STORE)) {
        return false;
    }
    let Ok(mut entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.all(|entry| entry.is_ok_and(|entry| UNMARKED.iter().any(|n| entry.file_name() == *n)))
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
}

/// Whether it has the demonstration's name and game, and the sample room as its only container.
fn is_the_demos(scheduler: &Scheduler) -> bool {
    scheduler.name.as_str() == SCHEDULER
        && scheduler.game == SCHEDULER
        && matches!(&scheduler.spec.containers[..], [only]
            if only.command.get(1..).is_some_and(|given| given == ARGUMENTS))
}
