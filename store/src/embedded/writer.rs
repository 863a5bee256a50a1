//! The single thread that writes. It takes the jobs that have arrived, of all schedulers, commits them as one
//! transaction and answers once that is durable. It never waits for further jobs.
//!
//! If a commit fails (usually because the disk is full), the store accepts no changes (`outage`) until one succeeds.
//! Jobs that arrive meanwhile join the next attempt, so that each attempt contains everything to be stored: a small
//! change that happens to fit does not end the outage.

use super::{
    admission::Admission,
    apply::{ModelChanges, Tables},
    batch::Batch,
    error, format,
    outage::{self, Failing},
    queue::{Backlog, Closed, Job, Queued},
    shared::Shared,
    snapshot::Seqs,
    stall,
};
use maestro_core::{
    domain::{Epoch, SchedulerName, Seq},
    ports::{Cause, CommitError, StoreError},
};
use redb::Database;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
};

pub struct Writer {
    shared: Arc<Shared>,
    jobs: Receiver<Queued>,
    backlog: Backlog,
    seqs: Seqs,
    failing: Option<Failing>,
}

/// The outcome of a group's transaction.
enum Outcome {
    /// Durable, except for the batches that were rejected.
    Done(Vec<Result<(), CommitError>>, ModelChanges, Seqs),
    /// Nothing was applied.
    NotApplied(Cause),
    /// The commit itself failed: the transaction was applied completely or not at all.
    Unknown(Cause),
}

impl Writer {
    pub fn new(shared: Arc<Shared>, jobs: Receiver<Queued>, seqs: Seqs) -> Self {
        Self {
            shared,
            jobs,
            backlog: Backlog::default(),
            seqs,
            failing: None,
        }
    }

    /// Runs until the store is closed, or until all senders are gone.
    pub fn run(self) {
        let shared = &*self.shared.clone();
        let (lets_go, ends) = std::sync::mpsc::channel();
        thread::scope(|threads| {
            let watch = thread::Builder::new().name("store-watch".into());
            let watch = watch.spawn_scoped(threads, move || stall::watch(shared, &ends));
            if let Err(error) = watch {
                tracing::warn!(%error, "a disk that does not answer will not be noticed");
            }
            self.work();
            drop(lets_go);
        });
    }

    fn work(mut self) {
        while self.receive() {
            let due = self.failing.as_ref().map(|f| f.left().is_zero());
            let trying = due == Some(true) && self.ready_to_try();
            let group = match due {
                None => self.backlog.next_group(),
                Some(true) if trying => self.backlog.take_all(),
                // A question is answered only after everything before it.
                Some(due) if due || self.backlog.has_questions() => {
                    turn_away(self.backlog.take_commits(), &self.cause());
                    self.backlog.take_all()
                }
                Some(_) => continue,
            };
            let closing = group.iter().any(|q| matches!(q.job, Job::Close));
            self.shared.writing.begin();
            self.serve(group, trying);
            self.shared.writing.end();
            if closing {
                break;
            }
        }
        self.finish();
    }

    /// Waits until there is something to do. False if all senders are gone.
    fn receive(&mut self) -> bool {
        let first = match &self.failing {
            None if !self.backlog.is_empty() => Err(RecvTimeoutError::Timeout),
            None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(failing) => self.jobs.recv_timeout(failing.left()),
        };
        match first {
            Ok(job) => self.backlog.push(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        for job in self.jobs.try_iter() {
            self.backlog.push(job);
        }
        true
    }

    /// Whether an attempt to write can succeed.
    fn ready_to_try(&mut self) -> bool {
        let opened = match self.shared.database() {
            Ok(_) => Ok(()),
            Err(_) => self.open(),
        };
        let ready = opened.and_then(|()| outage::try_folder(&self.shared.dir));
        if let (Err(cause), Some(failing)) = (&ready, &mut self.failing) {
            failing.goes_on(&self.shared, cause);
        }
        ready.is_ok()
    }

    /// `trying` is set for an attempt that tests whether the store accepts changes again.
    fn serve(&mut self, group: Vec<Queued>, trying: bool) {
        let batches: Vec<&Batch> = group.iter().filter_map(|q| q.job.batch()).collect();
        match self.write(&batches) {
            Outcome::Done(verdicts, changes, seqs) => {
                let proven = !seqs.is_empty();
                self.shared.model.apply(changes);
                self.seqs.extend(seqs);
                if trying {
                    self.tried(proven);
                }
                self.answer(group, verdicts);
            }
            Outcome::NotApplied(reason) => {
                self.fails(&reason);
                let verdict = |batch: &Batch| self.refused(batch, &reason);
                let verdicts = batches.iter().map(|b| verdict(b)).collect();
                self.answer(group, verdicts);
            }
            Outcome::Unknown(reason) => {
                self.fails(&reason);
                let verdict = |batch: &Batch| self.looked_up(batch, &reason);
                let verdicts = batches.iter().map(|b| verdict(b)).collect();
                self.answer(group, verdicts);
            }
        }
    }

    /// An attempt succeeded, though there may have been nothing to store.
    fn tried(&mut self, proven: bool) {
        if !proven {
            let again = |database: Arc<Database>| {
                format::write_again(&database, self.shared.epoch.0).map_err(error::cause)
            };
            let database = self.shared.database().map_err(Cause::of);
            if let Err(cause) = database.and_then(again) {
                return self.fails(&cause);
            }
        }
        if let Some(failing) = self.failing.take() {
            failing.end(&self.shared);
        }
    }

    fn write(&self, batches: &[&Batch]) -> Outcome {
        if batches.is_empty() {
            return Outcome::Done(vec![], ModelChanges::new(), Seqs::new());
        }
        let database = match self.shared.database() {
            Ok(database) => database,
            Err(e) => return Outcome::NotApplied(Cause::of(e)),
        };
        let work = AssertUnwindSafe(|| self.transact(&database, batches));
        catch_unwind(work).unwrap_or_else(|_| {
            Outcome::Unknown("the pages of the store contradict each other".into())
        })
    }

    fn transact(&self, database: &Database, batches: &[&Batch]) -> Outcome {
        let mut staged = Admission::new(&self.shared, &self.seqs);
        let mut changes = ModelChanges::new();
        let mut verdicts = Vec::with_capacity(batches.len());
        let mut fill = || -> Result<_, redb::Error> {
            let txn = database.begin_write()?;
            {
                let mut tables = Tables::open(&txn)?;
                for batch in batches {
                    let verdict = staged.admit(batch);
                    if verdict.is_ok() {
                        tables.apply(batch, &mut changes)?;
                    }
                    verdicts.push(verdict);
                }
            }
            Ok(txn)
        };
        let txn = match fill() {
            Ok(txn) => txn,
            Err(e) => return Outcome::NotApplied(error::cause(e)),
        };
        let seqs = staged.into_seqs();
        if seqs.is_empty() {
            // All batches were rejected: there is nothing to make durable.
            return match txn.abort() {
                Ok(()) => Outcome::Done(verdicts, changes, Seqs::new()),
                Err(e) => Outcome::NotApplied(error::cause(e.into())),
            };
        }
        match txn.commit() {
            Ok(()) => Outcome::Done(verdicts, changes, seqs),
            Err(e) => Outcome::Unknown(error::cause(e.into())),
        }
    }

    /// The verdict on a batch of a group that was certainly not applied.
    fn refused(&self, batch: &Batch, reason: &Cause) -> Result<(), CommitError> {
        if batch.fence.epoch != self.shared.epoch {
            let stored = self.shared.epoch;
            return Err(CommitError::Fenced { stored });
        }
        Err(CommitError::NotApplied(reason.clone()))
    }

    /// The verdict on a batch of a group whose commit failed: the file tells, once it is open again. If its seq is
    /// reached, the caller has to check whether that was this batch.
    fn looked_up(&self, batch: &Batch, reason: &Cause) -> Result<(), CommitError> {
        let is_open = self.shared.database().is_ok();
        if is_open && self.stored(&batch.fence.scheduler) < batch.fence.seq {
            return self.refused(batch, reason);
        }
        Err(CommitError::Unknown(reason.clone()))
    }

    fn stored(&self, scheduler: &SchedulerName) -> Seq {
        self.seqs.get(scheduler).copied().unwrap_or_default()
    }

    fn answer(&self, group: Vec<Queued>, verdicts: Vec<Result<(), CommitError>>) {
        let mut verdicts = verdicts.into_iter();
        // The reason why no file can be read, if so.
        let down = self.shared.closed_because();
        let down = down.as_ref();
        for queued in group {
            // The caller may have stopped waiting.
            match queued.job {
                Job::Commit { answer, .. } => {
                    // There is exactly one verdict per commit of the group, in order.
                    let lost = || Err(CommitError::Unknown("no verdict".into()));
                    let _ = answer.send(verdicts.next().unwrap_or_else(lost));
                }
                Job::StoredSeq {
                    scheduler,
                    epoch,
                    answer,
                } => {
                    let _ = answer.send(self.stored_seq(&scheduler, epoch, down));
                }
                Job::Acquire { names, answer } => {
                    let seqs = names.iter().map(|name| self.stored(name)).collect();
                    let _ = answer.send(up(down).map(|()| seqs));
                }
                Job::Barrier { answer } => {
                    let _ = answer.send(up(down));
                }
                Job::Close => {}
            }
        }
    }

    fn stored_seq(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
        down: Option<&Cause>,
    ) -> Result<Seq, CommitError> {
        if let Some(reason) = down {
            return Err(CommitError::Unknown(reason.clone()));
        }
        if epoch != self.shared.epoch {
            let stored = self.shared.epoch;
            return Err(CommitError::Fenced { stored });
        }
        Ok(self.stored(scheduler))
    }

    /// Begins or continues an outage, and reopens the file for readers.
    fn fails(&mut self, cause: &Cause) {
        match &mut self.failing {
            Some(failing) => failing.goes_on(&self.shared, cause),
            None => self.failing = Some(Failing::begin(&self.shared, cause)),
        }
        // After an error redb rejects everything until it is reopened.
        let opened = self.open();
        if let (Err(cause), Some(failing)) = (opened, &mut self.failing) {
            failing.goes_on(&self.shared, &cause);
        }
    }

    fn open(&mut self) -> Result<(), Cause> {
        drop(self.shared.take_down(self.cause()));
        match outage::open_anew(&self.shared) {
            Ok((database, seqs)) => {
                self.seqs = seqs;
                self.shared.put_up(database);
                Ok(())
            }
            Err(cause) => {
                self.shared.take_down(cause.clone());
                Err(cause)
            }
        }
    }

    fn cause(&self) -> Cause {
        let cause = self.failing.as_ref().map(Failing::cause);
        cause.cloned().unwrap_or_else(|| "".into())
    }

    /// Closes the file properly, so that the next opening need not repair it, and releases the lock.
    fn finish(mut self) {
        for job in self.jobs.try_iter() {
            self.backlog.push(job);
        }
        let closed = Cause::of(Closed);
        turn_away(self.backlog.take_all(), &closed);
        let database = self.shared.take_down(closed);
        if let Some(Ok(database)) = database.map(Arc::try_unwrap)
            && let Err(error) = database.close()
        {
            tracing::warn!(%error, "the store was not closed cleanly; the next start repairs it");
        }
        self.shared.unlock();
    }
}

impl Job {
    fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Commit { batch, .. } => Some(batch),
            _ => None,
        }
    }
}

fn up(down: Option<&Cause>) -> Result<(), StoreError> {
    down.map_or(Ok(()), |reason| {
        Err(StoreError::Unavailable(reason.clone()))
    })
}

/// Answers all jobs that were not done.
fn turn_away(group: Vec<Queued>, reason: &Cause) {
    let unavailable = || StoreError::Unavailable(reason.clone());
    for queued in group {
        match queued.job {
            Job::Commit { answer, .. } => {
                let _ = answer.send(Err(CommitError::NotApplied(reason.clone())));
            }
            Job::StoredSeq { answer, .. } => {
                let _ = answer.send(Err(CommitError::Unknown(reason.clone())));
            }
            Job::Acquire { answer, .. } => {
                let _ = answer.send(Err(unavailable()));
            }
            Job::Barrier { answer } => {
                let _ = answer.send(Err(unavailable()));
            }
            Job::Close => {}
        }
    }
}
