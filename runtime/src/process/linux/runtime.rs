//! Opening and shutting down, and the port itself.

use super::{
    adoption,
    blocking::{JobError, Jobs},
    cgroup::Cgroups,
    cleaner,
    environment::Surroundings,
    exit_watch,
    folder::{self, RoomsFolder},
    host::{Host, folder_trouble},
    janitor,
    live_room::{self, EndOrder},
    logs::{self, Bounds},
    ports,
    process_table::{self, ProcessId, Scanner},
    record::RoomFile,
    shortage::is_shortage,
    site::{lock_folder, open_folders},
    trash::Trash,
    unsafe_calls,
};
use crate::feeds::Feeds;
use crate::process::{OpenError, ProcessSettings};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Resource, getrlimit},
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Far below the threads that the I/O runtime may have, which others use too.
const JOBS_MAX: usize = 64;
const READS_MAX: usize = 16;
/// For callers; the work itself continues.
const JOB_PATIENCE: Duration = Duration::from_secs(30);
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// A creation has a queue of its own before it.
const CREATION_PATIENCE: Duration = Duration::from_secs(120);
/// Rooms live on without us, so nothing is lost with a task that does not end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// Rooms as processes of this machine. Dropping it, or shutting it down, stops no room: the next
/// process that opens the folder adopts them.
pub struct ProcessRuntime {
    host: Arc<Host>,
    domain: String,
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
        let handle = Handle::try_current().map_err(|_| OpenError::NoTokioRuntime)?;
        let installation = &settings.installation;
        if installation.parse::<uuid::Uuid>().is_err() {
            return Err(OpenError::Installation(installation.clone()));
        }
        let kernel = |what, source| OpenError::UnsupportedKernel { what, source };
        let boot_id = process_table::boot_id().map_err(|e| kernel("boot id", e))?;
        let namespace = process_table::pid_namespace().map_err(|e| kernel("pid namespace", e))?;
        check_pidfd().map_err(|e| kernel("pidfd", e))?;
        unsafe_calls::keep_inherited_descriptors().map_err(|e| kernel("descriptors", e))?;
        unsafe_calls::hear_of_children();
        if let Err(error) = unsafe_calls::allow_many_descriptors() {
            tracing::warn!(%error, "the limit of open files cannot be raised; it limits the number of rooms");
        }

        let (data, rooms) = open_folders(&settings.data_dir)?;
        let lock = lock_folder(&rooms)?;
        let domain = format!("{boot_id}/{namespace}/{}", rooms.display());
        let rooms = RoomsFolder::new(rooms);
        let trash = Trash::new(rooms.trash()).map_err(|source| OpenError::Folder {
            path: rooms.trash(),
            source,
        })?;
        let survey = adoption::survey(&rooms, installation, &boot_id).map_err(|source| {
            OpenError::Folder {
                path: rooms.path().into(),
                source,
            }
        })?;
        let stopping = CancellationToken::new();
        let host = Arc::new(Host {
            surroundings: surroundings(&settings, &data),
            rooms,
            boot_id,
            feeds: Arc::new(Feeds::new(
                newer_than(survey.resource_version),
                stopping.clone(),
            )),
            ports: ports::PortBook::new(settings.default_ports),
            scanner: Scanner::new(handle.clone()),
            cgroups: open_cgroups(),
            spawns: Arc::new(Semaphore::new(spawns_at_once(settings.spawns_at_once))),
            jobs: Jobs::new(handle.clone(), JOBS_MAX, JOB_PATIENCE),
            reads: Jobs::new(handle.clone(), READS_MAX, READ_PATIENCE),
            trash,
            discarded: Notify::new(),
            tasks: TaskTracker::new(),
            stopping,
            handle,
            state: Default::default(),
            settings,
        });
        for found in survey.rooms {
            host.adopt(found);
        }
        host.tasks
            .spawn_on(janitor::run(host.clone()), &host.handle);
        host.tasks
            .spawn_on(cleaner::run(host.clone()), &host.handle);
        Ok(Arc::new(Self { host, domain, lock }))
    }

    /// Where these rooms live: another boot, pid namespace or folder cannot reach them.
    pub fn runtime_domain(&self) -> String {
        self.domain.clone()
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

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn prepare(&self, scheduler: &Scheduler) -> Result<(), RuntimeError> {
        let path = self.scheduler_folder(&scheduler.name)?;
        let made = self.host.jobs.run(move || {
            folder::create_private(&path).map_err(|error| folder_trouble(&path, &error))
        });
        made.await?
    }

    async fn remove(&self, scheduler: &SchedulerName) -> Result<(), RuntimeError> {
        let path = self.scheduler_folder(scheduler)?;
        let rooms = self.host.live_rooms();
        let left = rooms.iter().filter(|(key, _)| key.0 == *scheduler).count();
        if left > 0 {
            return Err(RuntimeError::Unavailable(format!(
                "scheduler {scheduler} has {left} rooms that have not ended"
            )));
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
            let trouble = |error| RuntimeError::Unavailable(format!("logs of the room: {error}"));
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
            RuntimeError::Invalid(format!("{:?} is no name of a folder", scheduler.as_str()))
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
                    return Err(RuntimeError::Unavailable(format!(
                        "the room's record: {error}"
                    )));
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

/// One container: its log as it is. Several: a share of each, with the name before each line.
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

fn check_pidfd() -> io::Result<()> {
    let pid = std::process::id() as i32;
    let start_ticks = process_table::stat(pid)?.map_or(0, |stat| stat.start_ticks);
    match exit_watch::hold(ProcessId { pid, start_ticks })? {
        Some(_) => Ok(()),
        None => Err(io::Error::other("our own process is not in /proc")),
    }
}

/// As many as descriptors allow: each takes some for a moment.
fn spawns_at_once(wanted: usize) -> usize {
    const DESCRIPTORS_PER_SPAWN: u64 = 64;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let allowed = usize::try_from(limit / DESCRIPTORS_PER_SPAWN).unwrap_or(usize::MAX);
    wanted.min(allowed).max(1)
}

fn surroundings(settings: &ProcessSettings, data: &Path) -> Surroundings {
    let binary = settings.own_binary.clone();
    let binary = binary.or_else(|| std::env::current_exe().ok());
    Surroundings {
        binaries: binary.and_then(|binary| Some(binary.parent()?.to_path_buf())),
        secrets: data.join("secrets"),
        host: settings.host.clone(),
        rooms_api_url: settings.rooms_api_url.clone(),
    }
}

fn open_cgroups() -> Option<Cgroups> {
    let opened = Cgroups::open();
    opened
        .inspect_err(|why| tracing::info!(%why, "limits of rooms are not enforced"))
        .ok()
}

/// Above every version ever reported, even if the wall clock went back.
fn newer_than(recorded: u64) -> u64 {
    const OBSERVATIONS_SINCE_RECORD_MAX: u64 = 1_000_000;
    const RECORDED_MAX: u64 = 1 << 53;
    let micros = jiff::Timestamp::now().as_microsecond();
    // A record is untrusted input: none of its numbers may exhaust the counter.
    let recorded = recorded.min(RECORDED_MAX) + OBSERVATIONS_SINCE_RECORD_MAX;
    u64::try_from(micros).unwrap_or(0).max(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

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
