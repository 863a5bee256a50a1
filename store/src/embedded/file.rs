//! A file of the database: opening it, refusing other files, copying it durably.

use super::{error::OpenError, private};
use redb::{Database, DatabaseError};
use std::{
    fs::{self, File},
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// The library's own default is 1 GiB.
const CACHE_BYTES: usize = 24 * 1024 * 1024;

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

pub fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn starts_as_a_database(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == *b"redb")
}

/// Runs `f` and reports a panic as a damaged file: redb panics when a file is inconsistent.
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

/// Copies a file; the copy exists completely or not at all.
pub fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    remove_if_there(unfinished)?;
    let copied = (|| {
        io::copy(
            &mut File::open(from)?,
            &mut private::create_file(unfinished)?,
        )?;
        File::open(unfinished)?.sync_all()?;
        fs::rename(unfinished, to)
    })();
    if let Err(error) = copied {
        // A full disk needs the space.
        let _ = fs::remove_file(unfinished);
        return Err(error);
    }
    to.parent().map_or(Ok(()), sync_folder)
}

/// Creates an empty database for a copy, under a name that is not in use.
pub fn create_for_copy(path: &Path) -> Result<Database, redb::Error> {
    // redb opens an existing file; an empty one becomes a database.
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
