//! The file `maestro.redb`: creating it, opening it, refusing other files, compacting it.

use super::{
    error::OpenError,
    format::{self, Formats},
    private,
};
use redb::{Database, DatabaseError};
use std::{
    fs::{self, File},
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

pub const NAME: &str = "maestro.redb";
/// An unfinished file: never opened as a store, removed at the next start.
const UNFINISHED: &str = "maestro.redb.new";
/// The library's own default is 1 GiB.
const CACHE_BYTES: usize = 24 * 1024 * 1024;
/// Below this size compaction does not pay.
const COMPACT_FROM_BYTES: u64 = 64 * 1024 * 1024;

/// The database of a locked folder, in the current format.
pub fn open(dir: &Path, formats: &Formats) -> Result<Database, OpenError> {
    let path = dir.join(NAME);
    let unfinished = dir.join(UNFINISHED);
    remove_if_there(&unfinished).map_err(|e| OpenError::io(&unfinished, e))?;
    let is_there = path.try_exists().map_err(|e| OpenError::io(&path, e))?;
    if !is_there {
        create(&unfinished, formats)?;
        fs::rename(&unfinished, &path).map_err(|e| OpenError::io(&path, e))?;
        sync_folder(dir).map_err(|e| OpenError::io(dir, e))?;
    }
    private::close_file(&path);
    let db = open_existing(&path)?;
    let db = guarded(&path, || format::bring_up(&path, db, formats))?;
    compact_when_it_pays(&path, db)
}

/// Under another name first: a crash during creation leaves no partial store behind.
fn create(path: &Path, formats: &Formats) -> Result<(), OpenError> {
    let refuse = |e: redb::Error| OpenError::database(path, e);
    private::create_file(path).map_err(|e| OpenError::io(path, e))?;
    let db = builder().create(path).map_err(|e| refuse(e.into()))?;
    format::initialise(&db, formats).map_err(refuse)?;
    db.close().map_err(|e| refuse(e.into()))
}

/// Opens an existing file. Every checksum in it is verified first: a torn file is detected here,
/// and not by a later read.
pub fn open_existing(path: &Path) -> Result<Database, OpenError> {
    if !starts_as_a_database(path).map_err(|e| OpenError::io(path, e))? {
        return Err(OpenError::Foreign { file: path.into() });
    }
    guarded(path, || {
        let mut builder = builder();
        builder.set_check_integrity_on_open(true);
        builder
            .open(path)
            .map_err(|e: DatabaseError| OpenError::database(path, e.into()))
    })
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn starts_as_a_database(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == *b"redb")
}

/// The library panics when a file contradicts itself: we report a damaged file.
pub fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(OpenError::Damaged {
            file: path.into(),
            reason: "its pages contradict each other".into(),
        })
    })
}

/// The file never shrinks by itself. A failed compaction costs only its time.
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
            db = open_existing(path)?;
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

/// A copy that exists completely, or not at all.
pub fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".new");
    remove_if_there(Path::new(&unfinished))?;
    io::copy(
        &mut File::open(from)?,
        &mut private::create_file(Path::new(&unfinished))?,
    )?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, to)?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// An empty database for a copy, under a name that is free.
pub fn create_for_copy(path: &Path) -> Result<Database, redb::Error> {
    // The library opens an existing file; an empty one becomes a database.
    private::create_file(path)?;
    Ok(builder().create(path)?)
}

/// Makes a rename in `dir` survive a power cut.
pub fn sync_folder(dir: &Path) -> io::Result<()> {
    // The folder of a bare name is the current one.
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)?.sync_all()
}

pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
