//! Opening a runtime: detects what the machine offers, and adopts the rooms that are running.

use super::{
    adoption,
    blocking::Jobs,
    cgroup::Cgroups,
    cleaner,
    environment::Surroundings,
    exit_watch,
    folder::RoomsFolder,
    host::Host,
    janitor, ports,
    process_table::{self, ProcessId, Scanner},
    site::{lock_folder, open_folders},
    trash::Trash,
    unsafe_calls,
};
use crate::feeds::Feeds;
use crate::process::{OpenError, ProcessSettings};
use rustix::process::{Resource, getrlimit};
use std::{fs::File, io, path::Path, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Far below the I/O runtime's limit of blocking threads, which it shares with others.
const JOBS_MAX: usize = 64;
const READS_MAX: usize = 16;
/// For callers; the work itself continues.
const JOB_PATIENCE: Duration = Duration::from_secs(30);
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// Adopts running rooms: what all rooms share, where they live, and the lock of their folder.
///
/// # Errors
/// Outside a runtime, and if the folders of rooms cannot be created or read.
pub fn open(settings: ProcessSettings) -> Result<(Arc<Host>, String, File), OpenError> {
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
    let survey =
        adoption::survey(&rooms, installation, &boot_id).map_err(|source| OpenError::Folder {
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
        ports: ports::PortBook::new(settings.default_ports, settings.rooms_max),
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
    Ok((host, domain, lock))
}

fn check_pidfd() -> io::Result<()> {
    let pid = std::process::id() as i32;
    let start_ticks = process_table::stat(pid)?.map_or(0, |stat| stat.start_ticks);
    match exit_watch::hold(ProcessId { pid, start_ticks })? {
        Some(_) => Ok(()),
        None => Err(io::Error::other("our own process is not in /proc")),
    }
}

/// Limited by descriptors, of which each spawn needs some for a moment.
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
