//! A consistent copy of the store while it is in use.

use super::{EmbeddedStore, file, shared::ReadError, tables};
use maestro_core::ports::StoreError;
use redb::ReadTransaction;
use std::{
    fs,
    path::{Path, PathBuf},
};

impl EmbeddedStore {
    /// Copies everything that was committed before the call to a new file, which exists completely or not at all. To
    /// use it, put it into an empty folder as `maestro.redb`. An existing file is not overwritten.
    ///
    /// # Errors
    /// When the store cannot be read, or the file cannot be written.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.barrier().await?;
        let path = path.to_owned();
        self.shared.read(move |txn| write_copy(txn, &path)).await
    }
}

fn write_copy(txn: &ReadTransaction, path: &Path) -> Result<(), ReadError> {
    let io = |e| ReadError::Database(redb::Error::Io(e));
    if path.try_exists().map_err(io)? {
        let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(io(taken));
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    file::remove_if_there(&unfinished).map_err(io)?;
    if let Err(e) = fill(txn, &unfinished) {
        // The partial file is useless; the first error is the relevant one.
        let _ = fs::remove_file(&unfinished);
        return Err(ReadError::Database(e));
    }
    fs::rename(&unfinished, path).map_err(io)?;
    path.parent().map_or(Ok(()), file::sync_folder).map_err(io)
}

fn fill(from: &ReadTransaction, path: &Path) -> Result<(), redb::Error> {
    let copy = file::create_for_copy(path)?;
    let txn = copy.begin_write()?;
    tables::copy_all(from, &txn)?;
    txn.commit()?;
    Ok(copy.close()?)
}
