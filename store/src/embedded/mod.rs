//! The embedded store: one file in a data folder, written by one thread.
//!
//! The file `LOCK` in the folder is the lease of every scheduler in it: its holder owns them all, at the epoch of this
//! opening. Commits of all schedulers are grouped (see `writer`); reads come from memory (see `model`), except for
//! ended operations and single versions.

mod admission;
mod apply;
mod batch;
mod copy;
mod error;
mod file;
mod format;
mod former;
mod lock;
mod migrate;
mod model;
mod opening;
mod outage;
mod ownership;
mod private;
mod queue;
mod reads;
mod shared;
mod snapshot;
mod stall;
mod tables;
mod writer;
mod writing;

pub use error::OpenError;
pub use migrate::{Migrated, migrate};

use async_trait::async_trait;
use batch::Batch;
use futures_util::stream::{self, BoxStream, StreamExt};
use lock::LockFile;
use maestro_core::{
    domain::{Epoch, Scheduler, SchedulerName, Seq},
    ports::{
        Cause, Change, CommitError, Feed, FeedEvent, Fence, Loaded, Outage, Store, StoreError,
    },
};
use model::Model;
use parking_lot::Mutex;
use queue::{Inlet, Job};
use shared::{ReadError, Shared};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;
use writer::Writer;

/// An open store. Dropping the last reference closes it, as [`EmbeddedStore::close`] does.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    inlet: Inlet,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A claimed data folder whose store is not open yet. The folder is locked before anything in it is read or created.
pub struct ClaimedFolder {
    dir: PathBuf,
    lock: LockFile,
}

/// An overview of a folder's store.
#[derive(Debug)]
pub struct Contents {
    /// The uuid of the installation.
    pub installation: String,
    /// The active version of each scheduler.
    pub schedulers: Vec<Arc<Scheduler>>,
}

impl ClaimedFolder {
    /// Creates the folder if missing, and takes its lock. Dropping the claim releases it.
    ///
    /// # Errors
    /// [`OpenError::InUse`] names the holder; other variants carry the I/O error.
    pub fn claim(data_dir: &Path) -> Result<Self, OpenError> {
        // The folder contains the secrets of rooms.
        private::open_folder(data_dir).map_err(|e| OpenError::io(data_dir, e))?;
        let lock = LockFile::acquire(data_dir)?;
        let dir = data_dir.to_owned();
        Ok(Self { dir, lock })
    }

    /// Reads an existing store, for callers that must know its contents before they change anything. It begins no epoch
    /// and keeps the format; a file that was not closed properly is repaired. Blocks on the disk.
    ///
    /// # Errors
    /// As for [`ClaimedFolder::open`]; also when there is no store.
    pub fn contents(&self) -> Result<Contents, OpenError> {
        let path = self.dir.join(private::NAME);
        let database = file::open_existing(&path)?;
        file::guarded(&path, || {
            format::of(&path, &database)?;
            Ok(Contents {
                installation: format::installation(&path, &database)?,
                schedulers: snapshot::schedulers(&database).map_err(|e| unread(&path, e))?,
            })
        })
    }

    /// Opens the store, or creates it if it is missing. Blocks on the disk.
    ///
    /// # Errors
    /// The error says what to do about the folder. The claim is released.
    pub fn open(self) -> Result<Arc<EmbeddedStore>, OpenError> {
        let Self { dir, lock } = self;
        let database = opening::open(&dir, &format::FORMATS)?;
        let path = dir.join(private::NAME);
        let installation = format::installation(&path, &database)?;
        let (entries, mut seqs) = file::guarded(&path, || {
            snapshot::everything(&database).map_err(|e| unread(&path, e))
        })?;
        let forgotten = seqs.keys().filter(|name| !entries.contains_key(*name));
        let epoch = Epoch(format::raise_epoch(&path, &database, forgotten)?);
        seqs.retain(|name, _| entries.contains_key(name));
        let model = Model::default();
        model.replace(entries);
        let shared = Shared::new(dir.clone(), epoch, installation, model, lock, database);
        let shared = Arc::new(shared);
        let (inlet, jobs) = queue::queue();
        let writer = Writer::new(shared.clone(), jobs, seqs);
        let writer = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(|e| OpenError::io(&dir, e))?;
        Ok(Arc::new(EmbeddedStore {
            shared,
            inlet,
            writer: Mutex::new(Some(writer)),
        }))
    }
}

impl EmbeddedStore {
    /// Opens the store of `data_dir`, or creates it if it is missing. Blocks on the disk.
    ///
    /// # Errors
    /// When the folder is in use or unusable, or contains the file of a newer program.
    pub fn open(data_dir: &Path) -> Result<Arc<Self>, OpenError> {
        ClaimedFolder::claim(data_dir)?.open()
    }

    /// Stores what has been sent, closes the file and releases the folder. Jobs sent from now on are answered with an
    /// error.
    pub async fn close(&self) {
        self.inlet.close();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            // If the writer panicked, it has logged why.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }

    /// The UUID of the installation, created with the file.
    pub fn installation(&self) -> &str {
        &self.shared.installation
    }

    /// Waits until everything sent before has been processed.
    async fn barrier(&self) -> Result<(), StoreError> {
        let (answer, done) = oneshot::channel();
        self.send(Job::Barrier { answer }).await?;
        done.await.map_err(|_| closed())?
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        let sent = self.inlet.send(job).await;
        sent.map_err(|e| StoreError::Unavailable(Cause::of(e)))
    }
}

fn unread(path: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Database(e) => OpenError::database(path, e),
        ReadError::Row(e) => OpenError::Damaged {
            file: path.into(),
            reason: e.to_string(),
        },
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable(Cause::of(queue::Closed))
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.inlet.close();
        if let Some(writer) = self.writer.get_mut().take() {
            // If the writer panicked, it has logged why.
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn commit(&self, fence: Fence, changes: Arc<[Change]>) -> Result<(), CommitError> {
        let batch =
            Batch::new(fence, changes).map_err(|e| CommitError::NotApplied(Cause::of(e)))?;
        let (answer, outcome) = oneshot::channel();
        let job = Job::Commit { batch, answer };
        let sent = self.inlet.send(job).await;
        sent.map_err(|closed| CommitError::NotApplied(Cause::of(closed)))?;
        // The job was sent but not answered: the writer ended before or after it was applied.
        let lost = || CommitError::Unknown(Cause::of(queue::Closed));
        outcome.await.map_err(|_| lost())?
    }

    async fn stored_seq(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
    ) -> Result<Seq, CommitError> {
        let (answer, seq) = oneshot::channel();
        let job = Job::StoredSeq {
            scheduler: scheduler.clone(),
            epoch,
            answer,
        };
        // If the question cannot be asked, the outcome stays unknown.
        let lost = || CommitError::Unknown(Cause::of(queue::Closed));
        self.inlet.send(job).await.map_err(|_| lost())?;
        seq.await.map_err(|_| lost())?
    }

    async fn load(&self, owned: &[(SchedulerName, Epoch)]) -> Vec<Result<Loaded, StoreError>> {
        // A batch of an actor that has ended may still be in the queue.
        if let Err(error) = self.barrier().await {
            return owned.iter().map(|_| Err(error.clone())).collect();
        }
        let mut loaded = Vec::with_capacity(owned.len());
        for (name, epoch) in owned {
            if *epoch != self.shared.epoch {
                let stored = self.shared.epoch;
                loaded.push(Err(StoreError::Fenced { stored }));
                continue;
            }
            let name = name.clone();
            let read = move |txn: &_| snapshot::load(txn, name.as_str());
            loaded.push(self.shared.read(read).await);
        }
        loaded
    }

    fn outage(&self) -> Option<Arc<Outage>> {
        self.shared.outage()
    }
}

/// Nobody else can write the file, so there are no changes by others.
impl Feed for EmbeddedStore {
    fn subscribe(&self) -> BoxStream<'static, FeedEvent> {
        stream::pending().boxed()
    }
}
