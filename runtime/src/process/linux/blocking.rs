//! Blocking work: limited in number, awaited up to a deadline, and never delaying a shutdown. A hanging disk blocks its
//! jobs, whose permits stay taken until they end; callers are answered nevertheless.

use maestro_core::ports::{Cause, RuntimeError};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, Sleep},
};
use tokio_util::task::TaskTracker;

pub struct Jobs {
    handle: Handle,
    places: Arc<Semaphore>,
    under_way: TaskTracker,
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error("the disk of the rooms is too slow: too much work waits for it; look at the disk")]
    Busy,
    #[error("the disk of the rooms is too slow: the work goes on, its outcome is not known yet")]
    Late,
    #[error("the work failed; the log has the reason")]
    Failed,
}

impl From<JobError> for RuntimeError {
    fn from(error: JobError) -> Self {
        Self::Unavailable(Cause::of(error))
    }
}

impl Jobs {
    /// At most `max` jobs at once; `patience` covers waiting for a permit and the work.
    pub fn new(handle: Handle, max: usize, patience: Duration) -> Self {
        Self {
            handle,
            places: Arc::new(Semaphore::new(max)),
            under_way: TaskTracker::new(),
            patience,
        }
    }

    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        let late = self.timer();
        tokio::pin!(late);
        let permit = tokio::select! {
            permit = self.places.clone().acquire_owned() => permit.map_err(|_| JobError::Failed)?,
            () = &mut late => return Err(JobError::Busy),
        };
        let token = self.under_way.token();
        let job = self.handle.spawn_blocking(move || {
            let _place = (permit, token);
            work()
        });
        tokio::select! {
            done = job => done.map_err(|error| {
                tracing::error!(%error, "blocking work failed");
                JobError::Failed
            }),
            () = &mut late => Err(JobError::Late),
        }
    }

    /// The same for work whose result must be taken up whenever it is done.
    pub async fn run_to_the_end<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        let permit = self.places.clone().acquire_owned().await;
        let permit = permit.map_err(|_| JobError::Failed)?;
        let token = self.under_way.token();
        let job = self.handle.spawn_blocking(move || {
            let _place = (permit, token);
            work()
        });
        job.await.map_err(|error| {
            tracing::error!(%error, "blocking work failed");
            JobError::Failed
        })
    }

    /// Waits until no job is running.
    pub async fn ended(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    pub fn count(&self) -> usize {
        self.under_way.len()
    }

    /// Callers may be on runtimes without a timer.
    fn timer(&self) -> Sleep {
        let _on = self.handle.enter();
        tokio::time::sleep_until(Instant::now() + self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn jobs(max: usize, patience: Duration) -> Jobs {
        Jobs::new(Handle::current(), max, patience)
    }

    /// A job that blocks until the sender is dropped, and has started.
    async fn held(
        jobs: &Arc<Jobs>,
    ) -> (
        mpsc::Sender<()>,
        tokio::task::JoinHandle<Result<(), JobError>>,
    ) {
        let (hold, held) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let all = jobs.clone();
        let job = tokio::spawn(async move {
            all.run(move || {
                let _ = begun.send(());
                let _ = held.recv();
            })
            .await
        });
        begins.await.unwrap();
        (hold, job)
    }

    #[tokio::test]
    async fn who_waits_for_a_job_that_hangs_is_answered_and_its_place_stays_taken() {
        let jobs = Arc::new(jobs(1, Duration::from_millis(20)));
        let (hold, job) = held(&jobs).await;
        assert_eq!(job.await.unwrap(), Err(JobError::Late));
        assert_eq!(jobs.run(|| ()).await, Err(JobError::Busy));
        assert_eq!(jobs.count(), 1);
        drop(hold);
        jobs.ended().await;
        assert_eq!(jobs.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_that_panics_is_told_and_gives_its_place_back() {
        let jobs = jobs(1, Duration::from_secs(20));
        let failed = jobs.run(|| panic!("on purpose")).await;
        assert_eq!(failed, Err::<(), _>(JobError::Failed));
        assert_eq!(jobs.run_to_the_end(|| 7).await, Ok(7));
    }
}
