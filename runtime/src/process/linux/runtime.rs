//! Opening and shutting down, and the port itself.

use super::{
    adoption,
    cgroup::Cgroups,
    environment::Surroundings,
    exit_watch,
    folder::{self, RoomsFolder},
    host::{Host, folder_trouble},
    janitor,
    live_room::{self, EndOrder},
    logs, ports,
    process_table::{self, ProcessId, Scanner},
    record::RoomFile,
    unsafe_calls,
};
use crate::feeds::Feeds;
use crate::process::{OpenError, ProcessSettings, RoomProcess};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use rustix::{
    fs::{FlockOperation, flock},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Rooms as processes of this machine. Dropping it, or shutting it down, stops no room:
/// whoever opens the same folder next adopts them.
pub struct ProcessRuntime {
    host: Arc<Host>,
    domain: String,
    /// Tells other processes that the rooms in this folder are kept.
    lock: File,
}

impl ProcessRuntime {
    /// Adopts what runs already. Must be called inside the I/O runtime, on which all its
    /// tasks live from then on.
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
        allow_many_descriptors();

        let (data, rooms) = open_folders(&settings.data_dir)?;
        let lock = lock_folder(&rooms)?;
        let domain = format!("{boot_id}/{namespace}/{}", rooms.display());
        let rooms = RoomsFolder::new(rooms);
        let survey =
            adoption::survey(&rooms, installation).map_err(|source| OpenError::Folder {
                path: rooms.path().into(),
                source,
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
            scanner: Scanner::new(installation, handle.clone()),
            cgroups: open_cgroups(),
            spawns: Arc::new(Semaphore::new(settings.spawns_at_once.max(1))),
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
        Ok(Arc::new(Self { host, domain, lock }))
    }

    /// Where these rooms live: another boot, pid namespace or folder cannot reach them.
    pub fn runtime_domain(&self) -> String {
        self.domain.clone()
    }

    /// Ends all tasks and watches; rooms go on.
    pub async fn shutdown(&self) {
        self.host.stopping.cancel();
        self.host.tasks.close();
        self.host.tasks.wait().await;
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
        let made = self.host.blocking(move || {
            folder::create_private(&path).map_err(|error| folder_trouble(&path, &error))
        });
        made.await.unwrap_or_else(stopped)
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
        let removed = self
            .host
            .blocking(move || match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(folder_trouble(&path, &error))
                }
                _ => Ok(()),
            });
        removed.await.unwrap_or_else(stopped)
    }

    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        let (host, room, scheduler) = (self.host.clone(), room.clone(), scheduler.clone());
        let drawn = self
            .host
            .blocking(move || host.ports.reserve(&room, &scheduler, ports::bind));
        drawn.await.unwrap_or_else(stopped)
    }

    async fn release_ports(&self, room: &RoomId) {
        self.host.ports.release_reserved(room);
    }

    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        // A task of its own: a caller that goes away leaves no half-made room.
        let creation = self.host.clone().create_room(order.clone());
        let task = self.host.tasks.spawn_on(creation, &self.host.handle);
        task.await.unwrap_or_else(|_| stopped())
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
        let read = self.host.blocking(move || {
            let record = RoomFile::read(&folder).ok().flatten();
            let record = record.ok_or(RuntimeError::NotFound)?;
            tail_of_room(&record, &folder, lines)
                .map_err(|error| RuntimeError::Unavailable(format!("logs of the room: {error}")))
        });
        read.await.unwrap_or_else(stopped)
    }
}

impl ProcessRuntime {
    fn scheduler_folder(&self, scheduler: &SchedulerName) -> Result<PathBuf, RuntimeError> {
        self.host.rooms.scheduler(scheduler).ok_or_else(|| {
            RuntimeError::Invalid(format!("{:?} is no name of a folder", scheduler.as_str()))
        })
    }

    /// A room that was recorded and never started: its intent is withdrawn.
    async fn give_up(&self, key: ports::RoomKey) -> Result<(), RuntimeError> {
        let host = self.host.clone();
        let withdrawn = self.host.blocking(move || {
            let folder = host.rooms.room(&key.0, &key.1)?;
            let record = RoomFile::read(&folder).ok()??;
            let unstarted = record.phase == super::record::Phase::Starting;
            if unstarted && record.installation == host.settings.installation {
                host.ports.release(&key);
                folder.delete().ok()?;
            }
            Some(())
        });
        withdrawn.await;
        Err(RuntimeError::NotFound)
    }
}

fn stopped<T>() -> Result<T, RuntimeError> {
    Err(RuntimeError::Unavailable("the runtime is stopping".into()))
}

/// One container: its log as it is. Several: each one's share, its name before each line.
fn tail_of_room(
    record: &RoomFile,
    folder: &folder::RoomFolder,
    lines: usize,
) -> io::Result<Vec<String>> {
    let containers = &record.spec.containers;
    if let [only] = containers.as_slice() {
        return logs::tail(&folder.log(&only.name), lines);
    }
    let share = lines.div_ceil(containers.len().max(1));
    let mut all = Vec::new();
    for container in containers {
        let tail = logs::tail(&folder.log(&container.name), share)?;
        all.extend(
            tail.iter()
                .map(|line| format!("{}: {line}", container.name)),
        );
    }
    all.drain(..all.len().saturating_sub(lines));
    Ok(all)
}

fn open_folders(data: &Path) -> Result<(PathBuf, PathBuf), OpenError> {
    let trouble = |path: &Path| {
        let path = path.to_path_buf();
        |source| OpenError::Folder { path, source }
    };
    let rooms = data.join("rooms");
    folder::create_private(&rooms).map_err(trouble(&rooms))?;
    let data = data.canonicalize().map_err(trouble(data))?;
    let rooms = rooms.canonicalize().map_err(trouble(&rooms))?;
    Ok((data, rooms))
}

fn lock_folder(rooms: &Path) -> Result<File, OpenError> {
    let path = rooms.join(".lock");
    let open = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let lock = open.map_err(|source| OpenError::Folder { path, source })?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| OpenError::InUse { path: rooms.into() })?;
    Ok(lock)
}

fn check_pidfd() -> io::Result<()> {
    let pid = std::process::id() as i32;
    let start_ticks = process_table::stat(pid).map_or(0, |stat| stat.start_ticks);
    match exit_watch::hold(ProcessId { pid, start_ticks })? {
        Some(_) => Ok(()),
        None => Err(io::Error::other("our own process is not in /proc")),
    }
}

/// Each room costs a descriptor, and the usual soft limit is for programs that select(2).
fn allow_many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files cannot be raised; it limits the number of rooms");
    }
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

/// Above everything that was ever told, even if the wall clock went back.
fn newer_than(recorded: u64) -> u64 {
    const OBSERVATIONS_SINCE_RECORD_MAX: u64 = 1_000_000;
    const RECORDED_MAX: u64 = 1 << 53;
    let micros = jiff::Timestamp::now().as_microsecond();
    // A record is foreign input: no number of it may bring the count to its end.
    let recorded = recorded.min(RECORDED_MAX) + OBSERVATIONS_SINCE_RECORD_MAX;
    u64::try_from(micros).unwrap_or(0).max(recorded)
}

/// All processes that run now and were started for rooms of this installation, whatever
/// the records say.
pub fn room_processes(installation: &str) -> io::Result<Vec<RoomProcess>> {
    let rows = process_table::scan(installation)?;
    let alive = rows.into_iter().filter(|row| row.stat.alive());
    Ok(alive
        .filter_map(|row| {
            let mark = row.mark?;
            Some(RoomProcess {
                pid: row.id.pid,
                scheduler: mark.scheduler.into(),
                room: mark.room.into(),
                container: mark.container,
            })
        })
        .collect())
}
