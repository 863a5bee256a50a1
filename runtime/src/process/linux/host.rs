//! State shared by all rooms of this machine.

use super::{
    blocking::Jobs,
    cgroup::Cgroups,
    environment::Surroundings,
    folder::{self, RoomFolder, RoomsFolder},
    live_room::LiveRoom,
    ports::{PortBook, RoomKey},
    process_table::{ProcessId, Scanner},
    record::RoomFile,
    trash::Trash,
};
use crate::feeds::Feeds;
use crate::process::ProcessSettings;
use jiff::Timestamp;
use maestro_core::{
    domain::*,
    ports::{Cause, RuntimeError},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub struct Host {
    pub settings: ProcessSettings,
    pub rooms: RoomsFolder,
    pub surroundings: Surroundings,
    pub boot_id: String,
    pub feeds: Arc<Feeds>,
    pub ports: PortBook,
    pub scanner: Scanner,
    pub cgroups: Option<Cgroups>,
    pub spawns: Arc<Semaphore>,
    /// All blocking work except reads for users.
    pub jobs: Jobs,
    /// Reads for users: many of them must not keep rooms from being created.
    pub reads: Jobs,
    pub trash: Trash,
    /// Signalled when the trash has something new.
    pub discarded: Notify,
    /// Every task of this runtime; awaited at shutdown.
    pub tasks: TaskTracker,
    pub stopping: CancellationToken,
    /// The I/O runtime: callers may live on others.
    pub handle: Handle,
    pub state: Mutex<HostState>,
}

/// Which rooms run here is a fact of `live` alone. What owners were told of them is in [`Feeds`], their places and
/// ports are in the [`PortBook`]; [`Host::room_ended`] is the end of a room in all three.
#[derive(Default)]
pub struct HostState {
    /// From the creation of a room, or from when it is found, until its last process has ended.
    live: HashMap<RoomKey, Arc<LiveRoom>>,
    /// Oldest first.
    ended: HashMap<SchedulerName, VecDeque<(Timestamp, RoomId)>>,
    /// Processes of rooms whose creation was interrupted.
    found: HashMap<RoomKey, Vec<(String, ProcessId)>>,
    /// Whose folders could not be moved to the trash.
    refused: Vec<RoomKey>,
}

impl Host {
    /// Runs blocking work; `None` if it failed or took too long. The reason is logged.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let done = self.jobs.run(work).await;
        done.inspect_err(|error| tracing::error!(%error, "blocking work was given up"))
            .ok()
    }

    pub async fn write_record(&self, record: &RoomFile, folder: &RoomFolder) {
        let (record, folder) = (record.clone(), folder.clone());
        let room = record.room.clone();
        let written = self.blocking(move || {
            folder::create_private(folder.path())?;
            record.write(&folder)
        });
        if let Some(Err(error)) = written.await {
            tracing::warn!(room_id = %room, %error, "a room record cannot be written; the room continues");
        }
    }

    /// Removes the folder of a room that has ended or never started. Blocking.
    pub fn move_to_trash(&self, key: &RoomKey) -> io::Result<()> {
        let Some(folder) = self.rooms.room(&key.0, &key.1) else {
            return Ok(());
        };
        self.trash.take(folder.path())?;
        self.discarded.notify_one();
        Ok(())
    }

    /// The same, now or later. Blocking.
    pub fn discard(&self, key: &RoomKey) {
        if self.move_to_trash(key).is_err() {
            // The cleaner logs the reason when it fails again.
            self.state.lock().refused.push(key.clone());
            self.discarded.notify_one();
        }
    }

    pub fn take_refused(&self) -> Vec<RoomKey> {
        std::mem::take(&mut self.state.lock().refused)
    }

    /// Removes the folder of a scheduler without running rooms. What cannot be removed now is removed later. Blocking.
    pub fn discard_scheduler(&self, scheduler: &SchedulerName, path: &Path) {
        if let Err(error) = self.trash.take(path) {
            tracing::warn!(folder = %path.display(), %error, "the folder of a removed scheduler cannot be removed as a whole");
            // Rooms that cannot be listed now are found as ended ones at the next start.
            for (room, _) in self.rooms.rooms_of(scheduler).into_iter().flatten() {
                self.discard(&(scheduler.clone(), room));
            }
        }
        self.discarded.notify_one();
    }

    pub fn live(&self, key: &RoomKey) -> Option<Arc<LiveRoom>> {
        self.state.lock().live.get(key).cloned()
    }

    pub fn live_or_new(&self, key: &RoomKey) -> Arc<LiveRoom> {
        let mut state = self.state.lock();
        let live = state.live.entry(key.clone());
        live.or_insert_with(|| Arc::new(LiveRoom::new())).clone()
    }

    pub fn live_rooms(&self) -> Vec<(RoomKey, Arc<LiveRoom>)> {
        let state = self.state.lock();
        let rooms = state.live.iter();
        rooms
            .map(|(key, live)| (key.clone(), live.clone()))
            .collect()
    }

    pub fn forget(&self, key: &RoomKey, live: &Arc<LiveRoom>) {
        let mut state = self.state.lock();
        if state.live.get(key).is_some_and(|l| Arc::ptr_eq(l, live)) {
            state.live.remove(key);
        }
        state.found.remove(key);
    }

    /// Ends a room in every table. Watchers are notified last, because they must find it done.
    pub fn room_ended(&self, key: &RoomKey, live: &Arc<LiveRoom>, exit: Exit) {
        self.forget(key, live);
        self.note_ended(key, Timestamp::now());
        self.ports.release(key);
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove(key);
        }
        self.feeds.gone(&key.0, &key.1, exit);
    }

    pub fn note_ended(&self, key: &RoomKey, at: Timestamp) {
        let mut state = self.state.lock();
        let ended = state.ended.entry(key.0.clone()).or_default();
        let place = ended.partition_point(|(earlier, _)| *earlier <= at);
        ended.insert(place, (at, key.1.clone()));
    }

    /// Ended rooms whose folders are due for removal, taken off the list.
    pub fn take_outdated(&self, now: Timestamp) -> Vec<RoomKey> {
        let keep_for = self.settings.keep_ended_for;
        let mut outdated = Vec::new();
        let mut state = self.state.lock();
        let HostState { live, ended, .. } = &mut *state;
        for (scheduler, rooms) in ended.iter_mut() {
            while let Some((at, _)) = rooms.front() {
                let age = Duration::try_from(now.duration_since(*at)).unwrap_or_default();
                if rooms.len() <= self.settings.keep_ended && age < keep_for {
                    break;
                }
                let Some((_, room)) = rooms.pop_front() else {
                    break;
                };
                let key = (scheduler.clone(), room);
                if !live.contains_key(&key) {
                    outdated.push(key);
                }
            }
        }
        ended.retain(|_, rooms| !rooms.is_empty());
        outdated
    }

    pub fn forget_scheduler(&self, scheduler: &SchedulerName) {
        self.state.lock().ended.remove(scheduler);
        self.ports.release_scheduler(scheduler);
    }

    pub fn put_found(&self, key: &RoomKey, record: &RoomFile) {
        let processes = record.processes.iter();
        let processes = processes.map(|p| (p.container.clone(), p.id)).collect();
        self.state.lock().found.insert(key.clone(), processes);
    }

    pub fn take_found(&self, key: &RoomKey) -> Vec<(String, ProcessId)> {
        self.state.lock().found.remove(key).unwrap_or_default()
    }
}

pub fn folder_trouble(path: &Path, error: io::Error) -> RuntimeError {
    let text = format!("cannot write to {}: {error}", path.display());
    let kind = error.kind();
    let cause = Cause::new(text, error);
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            RuntimeError::Exhausted(cause)
        }
        _ => RuntimeError::Unavailable(cause),
    }
}

#[cfg(test)]
impl Host {
    /// Rooms that have ended do not count: their logs are kept for a while.
    pub fn knows_no_room(&self) -> bool {
        let state = self.state.lock();
        let here = state.live.len() + state.found.len() + state.refused.len();
        here == 0 && self.ports.is_empty() && self.feeds.is_empty()
    }

    pub fn ended_rooms(&self) -> usize {
        self.state.lock().ended.values().map(VecDeque::len).sum()
    }
}
