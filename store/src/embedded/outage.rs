//! An outage: the time in which the store accepts no changes, from the first that fails to the next that succeeds. Both
//! are logged once; attempts in between are logged at debug level.
//!
//! After an I/O error the file must be reopened before anything else works, which reads all of it. So a small trial
//! file is written first: as long as not even that succeeds, the store is left as it is, and reads continue.

use super::{file, format, private, shared::Shared, snapshot};
use jiff::Timestamp;
use maestro_core::ports::{Cause, Outage};
use maestro_core::rules::back_off::BackOff;
use redb::Database;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Removed as soon as it is written; a leftover is overwritten by the next attempt.
const TRIAL: &str = "maestro.redb.trial";
/// More than a change of one room needs.
const TRIAL_BYTES: usize = 64 * 1024;

/// The writer's view of the outage.
pub struct Failing {
    began: Instant,
    retry_at: Instant,
    pauses: BackOff,
    cause: Cause,
}

impl Failing {
    pub fn begin(shared: &Shared, cause: &Cause) -> Self {
        let dir = shared.dir.display();
        tracing::error!(
            cause = cause.text(),
            data_dir = %dir,
            "the store takes no changes: reads, pings and rooms continue; fix the cause, no restart is needed"
        );
        shared.set_outage(Some(Outage {
            since: Timestamp::now(),
            cause: cause.text().into(),
        }));
        let now = Instant::now();
        let mut pauses = BackOff::new(PAUSE_FIRST, PAUSE_MAX);
        Self {
            began: now,
            retry_at: now + pauses.pause(),
            pauses,
            cause: cause.clone(),
        }
    }

    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Time until the next attempt.
    pub fn left(&self) -> Duration {
        self.retry_at.saturating_duration_since(Instant::now())
    }

    /// Another attempt failed, perhaps for a different reason.
    pub fn goes_on(&mut self, shared: &Shared, cause: &Cause) {
        tracing::debug!(cause = cause.text(), "the store still takes no changes");
        self.retry_at = Instant::now() + self.pauses.pause();
        if self.cause.text() == cause.text() {
            return;
        }
        self.cause = cause.clone();
        if let Some(outage) = shared.outage() {
            shared.set_outage(Some(Outage {
                since: outage.since,
                cause: cause.text().into(),
            }));
        }
    }

    pub fn end(self, shared: &Shared) {
        shared.set_outage(None);
        let seconds = self.began.elapsed().as_secs_f64();
        tracing::info!(
            cause = self.cause.text(),
            seconds,
            "the store takes changes again"
        );
    }
}

/// Whether a file can be written next to the store.
pub fn try_folder(dir: &Path) -> Result<(), Cause> {
    let path = dir.join(TRIAL);
    let written = write_trial(&path);
    let removed = file::remove_if_there(&path);
    let failed = written.and(removed).err();
    failed.map_or(Ok(()), |error| Err(super::error::io_cause(error)))
}

fn write_trial(path: &Path) -> io::Result<()> {
    // Do not write through a link or into a pipe of that name.
    file::remove_if_there(path)?;
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut trial: File = options.write(true).create_new(true).open(path)?;
    trial.write_all(&[1; TRIAL_BYTES])?;
    trial.sync_all()
}

/// Reopens the file and reads the model from it, because the failed transaction may have been applied. The lock was
/// held all the time, so the epoch stays the same.
pub fn open_anew(shared: &Shared) -> Result<(Database, snapshot::Seqs), Cause> {
    if !shared.is_ours() {
        return Err("the lock of the data folder is gone; start again".into());
    }
    let path = shared.dir.join(private::NAME);
    let database = file::open_existing(&path).map_err(|e| e.cause())?;
    if format::epoch(&path, &database).map_err(|e| e.cause())? != shared.epoch.0 {
        return Err("the file of the store is another one now; start again".into());
    }
    let read = file::guarded(&path, || Ok(snapshot::everything(&database)));
    let (entries, seqs) = read.map_err(|e| e.cause())?.map_err(Cause::of)?;
    shared.model.replace(entries);
    Ok((database, seqs))
}
