//! What demonstrations left that were killed together with their watchdogs.

use super::watchdog::{PREFIX, clean};
use maestro_store::embedded::EmbeddedStore;
use rustix::process::getuid;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Folders that one start looks at.
const FOLDERS_MAX: usize = 1000;
/// A younger folder without a store is of a demonstration that is just starting.
const STARTING_MAX: Duration = Duration::from_secs(60);

/// Ends the rooms and deletes the folders of dead demonstrations; how many there were. A living one holds the lock of its
/// folder. What cannot be looked at stays.
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
    // No link is followed, and nothing of somebody else's is touched.
    let Ok(present) = fs::symlink_metadata(folder) else {
        return false;
    };
    if !present.is_dir() || present.uid() != getuid().as_raw() {
        return false;
    }
    match fs::symlink_metadata(folder.join("LOCK")) {
        // Whoever has locked it writes its name at once.
        Ok(lock) if !lock.is_file() || lock.len() == 0 => false,
        Ok(_) => match EmbeddedStore::open(folder) {
            Ok(store) => {
                let installation = store.installation().to_owned();
                drop(store);
                clean(folder, &installation)
            }
            // It lives, or nobody can say whose rooms were in it.
            Err(_) => false,
        },
        Err(_) => {
            let age = present.modified().ok().and_then(|at| at.elapsed().ok());
            age.is_some_and(|age| age > STARTING_MAX) && clean(folder, "")
        }
    }
}
