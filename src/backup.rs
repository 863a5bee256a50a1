//! Copies of the embedded file while it is in use: `<data folder>/backups/<name>.redb`.
//!
//! The only place where an operator's input becomes a path in the data folder.

use maestro_api::{Backup, BackupDone, BackupError};
use maestro_store::embedded::EmbeddedStore;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

const FOLDER: &str = "backups";
const NAME_MAX: usize = 64;

/// Called by the internal server. Copies run on the I/O runtime, one at a time; one that has begun
/// is finished even if its caller is gone.
pub fn of(store: Arc<EmbeddedStore>, data_dir: PathBuf, io: tokio::runtime::Handle) -> Backup {
    let one_at_a_time = Arc::new(Mutex::new(()));
    Arc::new(move |name| {
        let (store, data_dir, turn) = (store.clone(), data_dir.clone(), one_at_a_time.clone());
        let copying = io.spawn(async move {
            let _turn = turn.lock().await;
            copy(&store, &data_dir, name).await
        });
        Box::pin(async move {
            let interrupted = |_| BackupError::NotWritten("it was interrupted".into());
            copying.await.map_err(interrupted)?
        })
    })
}

/// The cluster store has no file here.
pub fn elsewhere() -> Backup {
    Arc::new(|_| {
        let why = "the store is Postgres and Redis: back them up with their own tools, such as pg_dump and BGSAVE";
        Box::pin(async move { Err(BackupError::NotWritten(why.into())) })
    })
}

async fn copy(
    store: &EmbeddedStore,
    data_dir: &Path,
    name: String,
) -> Result<BackupDone, BackupError> {
    if !is_name(&name) {
        return Err(BackupError::Name(name));
    }
    let refuse = |path: &Path, e: std::io::Error| {
        BackupError::NotWritten(format!("{}: {e}", path.display()))
    };
    let folder = data_dir.join(FOLDER);
    let file = folder.join(format!("{name}.redb"));
    make_folder(&folder).map_err(|e| refuse(&folder, e))?;
    if file.try_exists().map_err(|e| refuse(&file, e))? {
        return Err(BackupError::Taken(name));
    }
    let begun = Instant::now();
    let copied = store.copy_to(&file).await;
    copied.map_err(|e| BackupError::NotWritten(e.to_string()))?;
    let took = begun.elapsed();
    let file = file.canonicalize().map_err(|e| refuse(&file, e))?;
    let bytes = file.metadata().map_err(|e| refuse(&file, e))?.len();
    let path = file.display().to_string();
    let seconds = took.as_secs_f64();
    tracing::info!(path, bytes, seconds, "wrote a backup");
    Ok(BackupDone { path, bytes, took })
}

/// Creates the folder for its owner only: a copy contains everything that the store contains. An
/// existing folder, or a link to another disk, belongs to the user and keeps its mode.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(folder)?;
    // The umask may have removed more; a volume without modes ignores it.
    let _ = std::fs::set_permissions(folder, Permissions::from_mode(0o700));
    Ok(())
}

/// Whether it is one path component that is not hidden and consists of letters, digits and `-_.`.
fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_no_names() {
        for name in [
            "", ".", "..", "../x", "a/b", "/x", "a\\b", "a\0", ".x", "ä", "a b",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(!is_name(&"a".repeat(NAME_MAX + 1)));
        for name in ["a", "2026-01-31", "before_v2.1", "a..b"] {
            assert!(is_name(name), "{name:?}");
        }
    }
}
