//! Bringing a data folder to the current format without opening it for work.

use super::error::OpenError;
use super::file;
use super::format::{self, FORMATS};
use super::lock::LockFile;
use super::{opening, private};
use std::path::Path;

/// The result of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// No store yet: the first start creates one in the current format. Nothing was touched.
    Nothing,
    UpToDate {
        format: u64,
    },
    Done {
        from: u64,
        to: u64,
    },
}

/// Migrates the store of `data_dir` to the format of this program. Blocks on the disk.
///
/// # Errors
/// As [`super::EmbeddedStore::open`]; also while a server has the folder open.
pub fn migrate(data_dir: &Path) -> Result<Migrated, OpenError> {
    let path = data_dir.join(private::NAME);
    if !path.try_exists().map_err(|e| OpenError::io(&path, e))? {
        return Ok(Migrated::Nothing);
    }
    let _lock = LockFile::acquire(data_dir)?;
    let database = file::open_existing(&path)?;
    let from = file::guarded(&path, || format::of(&path, &database))?;
    drop(database);
    if from == FORMATS.current {
        return Ok(Migrated::UpToDate { format: from });
    }
    drop(opening::open(data_dir, &FORMATS)?);
    Ok(Migrated::Done {
        from,
        to: FORMATS.current,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_is_left_empty_and_a_current_store_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(migrate(dir.path()).unwrap(), Migrated::Nothing);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        drop(opening::open(dir.path(), &FORMATS).unwrap());
        let format = FORMATS.current;
        assert_eq!(migrate(dir.path()).unwrap(), Migrated::UpToDate { format });
    }

    #[test]
    fn a_newer_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let newer = format::Formats {
            current: FORMATS.current + 1,
            migrations: &[],
        };
        drop(opening::open(dir.path(), &newer).unwrap());
        let refused = migrate(dir.path()).unwrap_err();
        assert!(matches!(refused, OpenError::Newer { .. }), "{refused}");
    }
}
