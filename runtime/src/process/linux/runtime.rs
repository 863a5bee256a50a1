//! Opening and shutting down, and the port itself.

use super::{
    blocking::JobError,
    folder,
    host::{Host, folder_trouble},
    live_room::{self, EndOrder},
    logs::{self, Bounds},
    opening,
    platform::ProcessPlatform,
    ports,
    record::RoomFile,
    shortage::is_shortage,
    usage::{self, UsageOfRooms},
};
use crate::process::{OpenError, ProcessSettings};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use rustix::fs::{FlockOperation, flock};
use std::{fs::File, io, path::PathBuf, sync::Arc, time::Duration};

/// A creation has a queue of its own before it.
const CREATION_PATIENCE: Duration = Duration::from_secs(120);
/// Rooms outlive this process, so nothing is lost if a task does not end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// Rooms as processes of this machine. Dropping it, or shutting it down, stops no room: the next
/// process that opens the folder adopts them.
pub struct ProcessRuntime {
    host: Arc<Host>,
    domain: String,
    usage: Arc<UsageOfRooms>,
    /// Tells other processes that this folder is in use.
    lock: File,
}

impl ProcessRuntime {
    /// Adopts running rooms. Must be called inside the I/O runtime, on which all its tasks live
    /// from then on.
    ///
    /// # Errors
    /// Outside a runtime, and when the folders of rooms cannot be made or read.
    pub fn open(settings: ProcessSettings) -> Result<Arc<Self>, OpenError> {
        let (host, domain, lock) = opening::open(settings)?;
        let usage = Arc::new(UsageOfRooms::default());
        let measuring = usage::measure(host.clone(), usage.clone());
        host.tasks.spawn_on(measuring, &host.handle);
        Ok(Arc::new(Self {
            host,
            domain,
            usage,
            lock,
        }))
    }

    /// Identifies where these rooms run: another boot, pid namespace or folder cannot reach them.
    pub fn runtime_domain(&self) -> String {
        self.domain.clone()
    }

    /// What there is of runtimes and versions beside their rooms.
    pub fn platform(&self) -> Arc<dyn PlatformObjects> {
        Arc::new(ProcessPlatform::new(self.host.clone()))
    }

    /// Ends all tasks and watches; rooms keep running. Hanging work is not awaited.
    pub async fn shutdown(&self) {
        self.shutdown_within(SHUTDOWN_PATIENCE).await;
    }

    async fn shutdown_within(&self, patience: Duration) {
        let Host {
            stopping,
            tasks,
            jobs,
            reads,
            ..
        } = &*self.host;
        stopping.cancel();
        tasks.close();
        let ended = async { tokio::join!(tasks.wait(), jobs.ended(), reads.ended()) };
        if tokio::time::timeout(patience, ended).await.is_err() {
            let (tasks, jobs, reads) = (tasks.len(), jobs.count(), reads.count());
            tracing::warn!(
                tasks,
                jobs,
                reads,
                "work for rooms hangs and is abandoned; check the disk"
            );
        }
    }
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        self.host.stopping.cancel();
        // Closing it would not do: a child between fork and exec still has it open.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Only rooms of this machine are known.
#[async_trait]
impl MetricsSource for ProcessRuntime {
    async fn usage(&self, of: &Measured, window: Window) -> Result<Vec<Usage>, MetricsError> {
        Ok(self.usage.usage(of, window))
    }

    async fn alerts(&self, _: &Measured) -> Result<Vec<Alert>, MetricsError> {
        let text = "alerts are those of Prometheus, which is asked about rooms in pods only: see runtime.type";
        Err(MetricsError::Unprepared(text.to_owned()))
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    /// An empty folder counts as created by whoever asks: it was, or it is of no use to anyone else.
    async fn prepare(
        &self,
        scheduler: &Scheduler,
        _: OperationId,
    ) -> Result<Prepared, RuntimeError> {
        let path = self.scheduler_folder(&scheduler.name)?;
        let made = self.host.jobs.run(move || {
            let created = folder::create_private(&path).and_then(|()| folder::is_empty(&path));
            created.map_err(|error| folder_trouble(&path, error))
        });
        let created = made.await??;
        Ok(Prepared { created })
    }

    async fn remove(
        &self,
        scheduler: &SchedulerName,
        made_by: Option<OperationId>,
    ) -> Result<(), RuntimeError> {
        let path = self.scheduler_folder(scheduler)?;
        if made_by.is_some() {
            let removed = self.host.jobs.run(move || {
                folder::remove_empty(&path).map_err(|error| folder_trouble(&path, error))
            });
            return removed.await?;
        }
        let rooms = self.host.live_rooms();
        let left = rooms.iter().filter(|(key, _)| key.0 == *scheduler).count();
        if left > 0 {
            return Err(RuntimeError::Unavailable(
                format!("scheduler {scheduler} has {left} rooms that have not ended").into(),
            ));
        }
        self.host.forget_scheduler(scheduler);
        let (host, scheduler) = (self.host.clone(), scheduler.clone());
        let removed = self.host.jobs.run(move || {
            host.discard_scheduler(&scheduler, &path);
        });
        Ok(removed.await?)
    }

    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        let (host, room, scheduler) = (self.host.clone(), room.clone(), scheduler.clone());
        let drawn = self
            .host
            .jobs
            .run(move || host.ports.reserve(&room, &scheduler, ports::bind));
        drawn.await?
    }

    async fn release_ports(&self, room: &RoomId) {
        self.host.ports.release_reserved(room);
    }

    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        // A separate task: a caller that goes away leaves no partial room.
        let creation = self.host.clone().create_room(order.clone());
        let task = self.host.tasks.spawn_on(creation, &self.host.handle);
        // A hanging creation continues: the watch reports the room when it is up.
        match tokio::time::timeout(CREATION_PATIENCE, task).await {
            Ok(created) => created.unwrap_or_else(|_| stopped()),
            Err(_) => Err(JobError::Late.into()),
        }
    }

    async fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        grace: Duration,
        reason: RemovalReason,
    ) -> Result<(), RuntimeError> {
        let key = (scheduler.clone(), room.clone());
        let Some(live) = self.host.live(&key) else {
            return self.give_up(key).await;
        };
        if let Some(uid) = uid {
            let instance = self.host.feeds.instance(scheduler, room);
            if instance.is_none_or(|instance| instance.uid != uid) {
                return Err(RuntimeError::NotFound);
            }
        }
        live.order_end(EndOrder {
            kill_at: live_room::after(grace),
            reason: reason.as_str(),
        });
        Ok(())
    }

    fn watch(&self, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        self.host.feeds.watch(scheduler)
    }

    fn processes(&self, scheduler: &SchedulerName, room: &RoomId) -> Vec<ContainerProcess> {
        let live = self.host.live(&(scheduler.clone(), room.clone()));
        live.map(|live| live.processes()).unwrap_or_default()
    }

    async fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        lines: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        let folder = self.host.rooms.room(scheduler, room);
        let folder = folder.ok_or(RuntimeError::NotFound)?;
        let files = self.host.settings.log_files;
        let read = self.host.reads.run(move || {
            let trouble = |error: io::Error| {
                let text = format!("logs of the room: {error}");
                RuntimeError::Unavailable(Cause::new(text, error))
            };
            let record = match RoomFile::read(&folder) {
                Err(error) if is_shortage(&error) => return Err(trouble(error)),
                other => other.ok().flatten().ok_or(RuntimeError::NotFound)?,
            };
            tail_of_room(&record, &folder, files, Bounds::of_request(lines)).map_err(trouble)
        });
        read.await?
    }
}

impl ProcessRuntime {
    fn scheduler_folder(&self, scheduler: &SchedulerName) -> Result<PathBuf, RuntimeError> {
        self.host.rooms.scheduler(scheduler).ok_or_else(|| {
            RuntimeError::Invalid(format!("{:?} is no name of a folder", scheduler.as_str()).into())
        })
    }

    /// A room that was recorded but never started: its record is removed.
    async fn give_up(&self, key: ports::RoomKey) -> Result<(), RuntimeError> {
        let host = self.host.clone();
        let withdrawn = self.host.jobs.run(move || {
            let folder = host
                .rooms
                .room(&key.0, &key.1)
                .ok_or(RuntimeError::NotFound)?;
            let record = match RoomFile::read(&folder) {
                Err(error) if is_shortage(&error) => {
                    let text = format!("the room's record: {error}");
                    return Err(RuntimeError::Unavailable(Cause::new(text, error)));
                }
                other => other.ok().flatten().ok_or(RuntimeError::NotFound)?,
            };
            let unstarted = record.phase == super::record::Phase::Starting;
            if unstarted && record.installation == host.settings.installation {
                host.ports.release(&key);
                host.discard(&key);
            }
            Err(RuntimeError::NotFound)
        });
        withdrawn.await?
    }
}

fn stopped<T>() -> Result<T, RuntimeError> {
    Err(RuntimeError::Unavailable("the runtime is stopping".into()))
}

/// The log of a single container, or a share of each container's log with its name before each line.
fn tail_of_room(
    record: &RoomFile,
    folder: &folder::RoomFolder,
    files: usize,
    bounds: Bounds,
) -> io::Result<Vec<String>> {
    let containers = &record.spec.containers;
    if let [only] = containers.as_slice() {
        return logs::tail(&folder.log(&only.name), files, bounds);
    }
    let among = containers.len().max(1);
    let share = Bounds {
        lines: bounds.lines.div_ceil(among),
        bytes: bounds.bytes / among,
    };
    let mut all = Vec::new();
    for container in containers {
        let tail = logs::tail(&folder.log(&container.name), files, share)?;
        all.extend(
            tail.iter()
                .map(|line| format!("{}: {line}", container.name)),
        );
    }
    all.drain(..all.len().saturating_sub(bounds.lines));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_testkit::contract::runtime::{Harness, RUNS, Stage, scheduler};

    struct Site {
        _folder: tempfile::TempDir,
        runtime: Arc<ProcessRuntime>,
    }

    impl Site {
        const KEPT: usize = 3;

        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let installation = uuid::Uuid::new_v4().to_string();
            let mut settings = ProcessSettings::new(folder.path(), installation);
            settings.keep_ended = Self::KEPT;
            settings.rooms_max = 2;
            let runtime = ProcessRuntime::open(settings).unwrap();
            Self {
                _folder: folder,
                runtime,
            }
        }
    }

    impl Harness for Site {
        fn runtime(&self) -> Arc<dyn Runtime> {
            self.runtime.clone()
        }
    }

    /// Two rooms fit: one that stayed in a table would soon keep others out.
    #[tokio::test]
    async fn rooms_and_schedulers_leave_no_trace_in_any_table() {
        let site = Site::new();
        let host = &site.runtime.host;
        let ended = "exit 3";
        for round in 0..3 {
            for (name, script) in [("runs", RUNS), ("ends", ended)] {
                let mut stage = Stage::set(&site, scheduler(name, script)).await;
                for number in 0..3 {
                    let room = format!("{name}-{round}-{number}");
                    stage.create(&room).await.unwrap();
                    if script == RUNS {
                        stage.terminate(&room, None).await.unwrap();
                    }
                    stage.until_gone(&room.as_str().into()).await;
                }
                // Reserved and never created, by an owner that is gone.
                stage.order(&format!("{name}-{round}-never")).await.unwrap();
                stage.strike().await;
                assert!(host.knows_no_room(), "{name}, round {round}");
                assert_eq!(host.ended_rooms(), 0, "their folder is gone");
            }
        }
    }

    #[tokio::test]
    async fn a_creation_that_fails_leaves_its_reservation_alone() {
        let site = Site::new();
        let mut bad = scheduler("fails", RUNS);
        bad.spec.containers[0].command = vec!["/nowhere/to/be/found".into()];
        let stage = Stage::set(&site, bad).await;
        for number in 0..5 {
            let room = format!("fails-{number}");
            assert!(stage.create(&room).await.is_err());
            assert!(site.runtime.host.live_rooms().is_empty());
            stage.runtime.release_ports(&room.as_str().into()).await;
            assert!(site.runtime.host.ports.is_empty(), "{room}");
        }
        stage.strike().await;
        assert!(site.runtime.host.knows_no_room());
    }

    #[tokio::test]
    async fn a_shutdown_leaves_behind_what_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let installation = uuid::Uuid::new_v4().to_string();
        let settings = ProcessSettings::new(folder.path(), installation);
        let runtime = ProcessRuntime::open(settings).unwrap();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let host = runtime.host.clone();
        let hangs = move || {
            let _ = begun.send(());
            let _ = held.recv();
        };
        let waits = tokio::spawn(async move { host.jobs.run(hangs).await });
        begins.await.unwrap();
        runtime.shutdown_within(Duration::from_millis(20)).await;
        assert_eq!(runtime.host.jobs.count(), 1, "it goes on");
        drop(hold);
        waits.await.unwrap().unwrap();
        runtime.shutdown().await;
        assert_eq!(runtime.host.jobs.count(), 0);
    }
}
