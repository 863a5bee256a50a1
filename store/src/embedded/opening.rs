//! The file `maestro.redb` of a locked folder: creating it, opening it in the current format, compacting it.

use super::{
    error::OpenError,
    file,
    format::{self, Formats},
    private,
};
use redb::Database;
use std::{fs, path::Path};

/// An unfinished file: never opened as a store, removed at the next start.
const UNFINISHED: &str = "maestro.redb.new";
/// Below this size compaction does not pay.
const COMPACT_FROM_BYTES: u64 = 64 * 1024 * 1024;

/// The database of a locked folder, in the current format.
pub fn open(dir: &Path, formats: &Formats) -> Result<Database, OpenError> {
    let path = dir.join(private::NAME);
    let unfinished = dir.join(UNFINISHED);
    file::remove_if_there(&unfinished).map_err(|e| OpenError::io(&unfinished, e))?;
    let is_there = path.try_exists().map_err(|e| OpenError::io(&path, e))?;
    if !is_there {
        create(&unfinished, formats)?;
        fs::rename(&unfinished, &path).map_err(|e| OpenError::io(&path, e))?;
        file::sync_folder(dir).map_err(|e| OpenError::io(dir, e))?;
    }
    private::close_file(&path);
    let db = file::open_existing(&path)?;
    let db = file::guarded(&path, || format::bring_up(&path, db, formats))?;
    compact_when_it_pays(&path, db)
}

/// Creates the file under another name first, so that a crash leaves no partial store behind.
fn create(path: &Path, formats: &Formats) -> Result<(), OpenError> {
    let refuse = |e: redb::Error| OpenError::database(path, e);
    private::create_file(path).map_err(|e| OpenError::io(path, e))?;
    let db = file::builder().create(path).map_err(|e| refuse(e.into()))?;
    format::initialise(&db, formats).map_err(refuse)?;
    db.close().map_err(|e| refuse(e.into()))
}

/// Compacts a large file, because redb never shrinks it. A failed compaction costs only its time.
fn compact_when_it_pays(path: &Path, mut db: Database) -> Result<Database, OpenError> {
    let size = fs::metadata(path)
        .map_err(|e| OpenError::io(path, e))?
        .len();
    if size < COMPACT_FROM_BYTES {
        return Ok(db);
    }
    let used = used_bytes(&db).map_err(|e| OpenError::database(path, e))?;
    if used > size / 2 {
        return Ok(db);
    }
    match db.compact() {
        Ok(_) => tracing::info!(file = %path.display(), size, used, "compacted the store"),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "the store was not compacted");
            drop(db);
            db = file::open_existing(path)?;
        }
    }
    Ok(db)
}

fn used_bytes(db: &Database) -> Result<u64, redb::Error> {
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}
