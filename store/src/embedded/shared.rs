//! State shared by the writer and the readers of an open store.

use super::{lock::LockFile, model::Model, tables::RowError, writing::Writing};
use maestro_core::{
    domain::Epoch,
    ports::{Cause, Outage, StoreError},
};
use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadTransaction, ReadableDatabase};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Semaphore;
use uuid::Uuid;

const READS_MAX: usize = 32;

pub struct Shared {
    pub dir: PathBuf,
    pub epoch: Epoch,
    pub installation: String,
    /// Of this opening.
    pub session: Uuid,
    pub model: Model,
    /// Limits concurrent reads of the file.
    reads: Arc<Semaphore>,
    /// `None` once the store has been closed.
    lock: Mutex<Option<LockFile>>,
    state: RwLock<State>,
    outage: RwLock<Option<Arc<Outage>>>,
    /// Set while a write takes too long and it is unknown whether it will fail.
    stall: RwLock<Option<Arc<Outage>>>,
    pub writing: Writing,
}

enum State {
    Open(Arc<Database>),
    /// Temporarily unavailable, with the reason.
    Down(Cause),
}

impl Shared {
    pub fn new(
        dir: PathBuf,
        epoch: Epoch,
        installation: String,
        model: Model,
        lock: LockFile,
        database: Database,
    ) -> Self {
        Self {
            dir,
            epoch,
            installation,
            session: Uuid::new_v4(),
            model,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            lock: Mutex::new(Some(lock)),
            state: RwLock::new(State::Open(Arc::new(database))),
            outage: RwLock::default(),
            stall: RwLock::default(),
            writing: Writing::default(),
        }
    }

    pub fn outage(&self) -> Option<Arc<Outage>> {
        let failing = self.outage.read().clone();
        failing.or_else(|| self.stall.read().clone())
    }

    /// Publishes the current outage, or its end.
    pub fn set_outage(&self, outage: Option<Outage>) {
        *self.outage.write() = outage.map(Arc::new);
    }

    /// Sets or clears the stall; returns whether one was set before.
    pub fn set_stall(&self, stall: Option<Outage>) -> bool {
        let before = std::mem::replace(&mut *self.stall.write(), stall.map(Arc::new));
        before.is_some()
    }

    pub fn database(&self) -> Result<Arc<Database>, StoreError> {
        match &*self.state.read() {
            State::Open(database) => Ok(database.clone()),
            State::Down(reason) => Err(StoreError::Unavailable(reason.clone())),
        }
    }

    /// Why the file is closed; `None` if it is open.
    pub fn closed_because(&self) -> Option<Cause> {
        match &*self.state.read() {
            State::Open(_) => None,
            State::Down(reason) => Some(reason.clone()),
        }
    }

    pub fn put_up(&self, database: Database) {
        *self.state.write() = State::Open(Arc::new(database));
    }

    /// Takes the file away from readers. It is closed when the last read has ended.
    pub fn take_down(&self, reason: Cause) -> Option<Arc<Database>> {
        match std::mem::replace(&mut *self.state.write(), State::Down(reason)) {
            State::Open(database) => Some(database),
            State::Down(_) => None,
        }
    }

    /// Whether the lock, and with it every scheduler, is still ours.
    pub fn is_ours(&self) -> bool {
        self.lock.lock().as_ref().is_some_and(LockFile::is_ours)
    }

    pub fn unlock(&self) {
        self.lock.lock().take();
    }

    /// Reads the file on a thread for blocking work.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&ReadTransaction) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.clone();
        let work = move || {
            let txn = shared.database()?.begin_read().map_err(ReadError::from)?;
            Ok(look(&txn)?)
        };
        // Held until the read ends, so that a hanging disk blocks at most this many threads.
        let turn = self.reads.clone().acquire_owned().await;
        let work = move || {
            let _turn = turn;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(read) => read,
            // redb panics when pages are inconsistent.
            Err(e) => Err(StoreError::Corrupt(Cause::of(e))),
        }
    }
}

/// Why a read of the file failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Database(#[from] redb::Error),
    #[error(transparent)]
    Row(#[from] RowError),
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Row(error) => Self::Corrupt(Cause::of(error)),
            ReadError::Database(error @ redb::Error::Corrupted(_)) => {
                Self::Corrupt(Cause::of(error))
            }
            ReadError::Database(error) => Self::Unavailable(Cause::of(error)),
        }
    }
}

macro_rules! from_library {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for ReadError {
            fn from(error: redb::$error) -> Self {
                Self::Database(error.into())
            }
        }
    )*};
}
from_library!(StorageError, TableError, TransactionError);
