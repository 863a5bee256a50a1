//! Creates a room: checks, claims, records, spawns. A creation that a crash interrupted is found
//! and completed, never started twice.

use super::{
    exit_watch::{self, Ending},
    folder::{Layout, RoomFolder},
    host::{Host, folder_trouble},
    live_room::LiveRoom,
    plan::{self, ContainerPlan, RoomPlan},
    ports::RoomKey,
    process_table::{self, ProcessId},
    record::{Phase, RoomFile, format_of},
    restart::wants_restart,
    shortage::is_shortage,
    spawn,
    sweep::{self, Scope},
};
use maestro_core::{domain::*, ports::*};
use std::sync::Arc;

/// Why a room was not started.
struct Unfinished {
    error: RuntimeError,
    /// Processes started so far; `None` if nothing was begun.
    leaders: Option<Vec<ProcessId>>,
}

/// Containers of a room that runs without a record, and that do not run themselves. Nobody knows how they ended: as
/// ever, that counts as a failure. What would not be started again then is not started a second time now (D31).
fn ended_unseen(record: &RoomFile) -> Vec<String> {
    if wants_restart(&record.spec.restart_policy, &Ending::default()) {
        return Vec::new();
    }
    let names = record.spec.containers.iter().map(|c| c.name.clone());
    names
        .filter(|name| record.process(name).is_none())
        .collect()
}

impl From<RuntimeError> for Unfinished {
    fn from(error: RuntimeError) -> Self {
        Self {
            error,
            leaders: None,
        }
    }
}

fn still_runs((_, id): &(String, ProcessId)) -> bool {
    process_table::may_run(*id)
}

impl Host {
    pub async fn create_room(self: Arc<Self>, order: RoomOrder) -> Result<Instance, RuntimeError> {
        let key = (order.scheduler.name.clone(), order.room.clone());
        let folder = self.rooms.room(&key.0, &key.1).ok_or_else(|| {
            RuntimeError::Invalid(format!("{}/{} is no name of a folder", key.0, key.1).into())
        })?;
        let live = self.live_or_new(&key);
        let _gate = live.gate.lock().await;
        if live.is_complete()
            && let Some(instance) = self.feeds.instance(&key.0, &key.1)
        {
            return Ok(instance);
        }
        if self.stopping.is_cancelled() {
            return Err(RuntimeError::Unavailable("the runtime is stopping".into()));
        }
        live.release_from_supervisor().await;
        let created = self.clone().start(order, &key, &folder, &live).await;
        if let Err(error) = &created {
            self.abandon(&key, &live, error).await;
        }
        created
    }

    /// The processes of a room that cannot be completed are ended, and its watchers are told.
    async fn abandon(&self, key: &RoomKey, live: &Arc<LiveRoom>, error: &RuntimeError) {
        if self.feeds.instance(&key.0, &key.1).is_none() {
            return self.forget(key, live);
        }
        let scope = Scope {
            key,
            container: None,
            leaders: Vec::new(),
        };
        sweep::kill_all(self, &scope).await;
        let exit = Exit {
            reason: format!("its creation was cut short and cannot be completed: {error}"),
            ..Exit::default()
        };
        self.room_ended(key, live, exit);
    }

    async fn start(
        self: Arc<Self>,
        order: RoomOrder,
        key: &RoomKey,
        folder: &RoomFolder,
        live: &Arc<LiveRoom>,
    ) -> Result<Instance, RuntimeError> {
        let host = self.clone();
        let place = folder.clone();
        let found = self.feeds.instance(&key.0, &key.1);
        // A closed semaphore does not occur; its permit ends with the spawn.
        let permit = self.spawns.clone().acquire_owned().await.ok();
        // Not limited in time: started processes need their supervisor.
        let started = self.jobs.run_to_the_end(move || {
            let _permit = permit;
            host.start_blocking(&order, found, &place)
        });
        match started.await? {
            Ok(started) => {
                let folder = folder.clone().laid_out(started.layout());
                Ok(self.keep(started, folder, live, true))
            }
            Err(unfinished) => {
                if let Some(leaders) = unfinished.leaders {
                    self.undo(key, leaders).await;
                }
                Err(unfinished.error)
            }
        }
    }

    /// Takes a room back of which only a part could be started. Its processes may have started others by now: these are
    /// found while their leaders are still there, and before anybody else gets the ports.
    async fn undo(self: &Arc<Self>, key: &RoomKey, leaders: Vec<ProcessId>) {
        let scope = Scope {
            key,
            container: None,
            leaders: leaders.clone(),
        };
        sweep::kill_all(self, &scope).await;
        let (host, key) = (self.clone(), key.clone());
        let undone = self.jobs.run_to_the_end(move || {
            for leader in leaders {
                exit_watch::kill_and_reap(leader);
            }
            host.discard(&key);
            if let Some(cgroups) = &host.cgroups {
                cgroups.remove(&key);
            }
            host.ports.unclaim(&key);
        });
        if let Err(error) = undone.await {
            tracing::warn!(%error, "a room that could not be started was not cleared up");
        }
    }

    fn start_blocking(
        &self,
        order: &RoomOrder,
        found: Option<Instance>,
        folder: &RoomFolder,
    ) -> Result<RoomFile, Unfinished> {
        let key = (order.scheduler.name.clone(), order.room.clone());
        let mut record = self.record_of(order, found, folder)?;
        let folder = &folder.clone().laid_out(record.layout());
        let plan = plan::plan(&record, folder, &self.surroundings)
            .map_err(|text| RuntimeError::Invalid(text.into()))?;
        if let Err((port, holder)) = self.ports.claim(&key, &order.host_ports) {
            return Err(RuntimeError::Exhausted(
                format!("host port {port} is in use by room {holder}").into(),
            )
            .into());
        }
        match self.spawn_missing(&mut record, &plan, folder, &key) {
            Ok(()) => Ok(record),
            Err(error) => Err(Unfinished {
                error,
                leaders: Some(record.processes.iter().map(|process| process.id).collect()),
            }),
        }
    }

    /// What an earlier attempt, or an earlier process of ours, has recorded of the room. `None` if that cannot be read.
    fn earlier_record(
        &self,
        order: &RoomOrder,
        folder: &RoomFolder,
    ) -> Result<Option<RoomFile>, RuntimeError> {
        let earlier = match RoomFile::read(folder) {
            Ok(earlier) => earlier,
            Err(error) if is_shortage(&error) => {
                let text = format!("the room's record: {error}");
                return Err(RuntimeError::Exhausted(Cause::new(text, error)));
            }
            Err(error) => {
                tracing::warn!(room_id = %order.room, %error, "an unreadable room record is replaced");
                None
            }
        };
        if let Some(earlier) = &earlier {
            if earlier.installation != self.settings.installation {
                return Err(RuntimeError::Invalid(
                    format!(
                        "{} belongs to another installation",
                        folder.path().display()
                    )
                    .into(),
                ));
            }
            if earlier.phase == Phase::Ended {
                let end = earlier.end.as_deref().unwrap_or("how is unknown");
                return Err(RuntimeError::Invalid(
                    format!("room already ended: {end}; a new room needs a new id").into(),
                ));
            }
        }
        Ok(earlier)
    }

    /// The record that the room starts from, with its processes that already run.
    fn record_of(
        &self,
        order: &RoomOrder,
        found: Option<Instance>,
        folder: &RoomFolder,
    ) -> Result<RoomFile, RuntimeError> {
        let earlier = self.earlier_record(order, folder)?;
        let completed = earlier.as_ref().map(|earlier| earlier.completed.clone());
        let key = (order.scheduler.name.clone(), order.room.clone());
        let running: Vec<_> = self
            .take_found(&key)
            .into_iter()
            .filter(still_runs)
            .collect();
        let layout = match (&earlier, running.is_empty()) {
            (_, true) => Layout::Apart,
            (Some(earlier), false) => earlier.layout(),
            (None, false) => folder.layout_found(),
        };
        let mut record = RoomFile {
            format: format_of(layout),
            installation: self.settings.installation.clone(),
            scheduler: order.scheduler.name.clone(),
            room: order.room.clone(),
            version: order.scheduler.version().clone(),
            validation: order.validation,
            spec: order.scheduler.spec.clone(),
            config: order.config.clone(),
            host_ports: order.host_ports.to_vec(),
            boot_id: self.boot_id.clone(),
            uid: found.map(|instance| instance.uid).unwrap_or_default(),
            resource_version: 0,
            phase: Phase::Starting,
            processes: Vec::new(),
            completed: Vec::new(),
            restart: None,
            restarted: Vec::new(),
            created_at: earlier
                .as_ref()
                .map_or_else(jiff::Timestamp::now, |earlier| earlier.created_at),
            ended_at: None,
            end: None,
        };
        for (container, id) in running {
            record.set_process(&container, id);
        }
        record.completed = match (completed, record.processes.is_empty()) {
            (_, true) => Vec::new(),
            (Some(completed), false) => completed,
            (None, false) => ended_unseen(&record),
        };
        Ok(record)
    }

    fn spawn_missing(
        &self,
        record: &mut RoomFile,
        plan: &RoomPlan,
        folder: &RoomFolder,
        key: &RoomKey,
    ) -> Result<(), RuntimeError> {
        let trouble = |error| folder_trouble(folder.path(), error);
        let is_up = !record.processes.is_empty();
        let write = |record: &RoomFile| match record.write(folder) {
            // Players may be in it: it goes on, and the record is written with the next change.
            Err(error) if is_up => {
                tracing::warn!(room_id = %record.room, %error, "a room record cannot be written; the room continues");
                Ok(())
            }
            written => written.map_err(trouble),
        };
        let missing = |record: &RoomFile, name: &String| {
            record.process(name).is_none() && !record.completed.contains(name)
        };
        if plan.containers.iter().any(|c| missing(record, &c.name)) {
            folder.create().map_err(trouble)?;
        }
        write(record)?;
        for container in &plan.containers {
            if !missing(record, &container.name) {
                continue;
            }
            let group = self.cgroup_of(key, plan)?;
            let id = self.spawn(container, folder, group)?;
            record.set_process(&container.name, id);
        }
        if record.uid.is_empty() {
            record.uid = self.uid(record);
        }
        record.phase = Phase::Running;
        write(record)
    }

    fn spawn(
        &self,
        container: &ContainerPlan,
        folder: &RoomFolder,
        cgroup: Option<std::os::fd::OwnedFd>,
    ) -> Result<ProcessId, RuntimeError> {
        let output = spawn::Output {
            log: &folder.log(&container.name),
            settings: &self.settings,
        };
        spawn::start(container, &folder.work(), &output, cgroup)
    }

    fn cgroup_of(
        &self,
        key: &RoomKey,
        plan: &RoomPlan,
    ) -> Result<Option<std::os::fd::OwnedFd>, RuntimeError> {
        let Some(cgroups) = &self.cgroups else {
            return Ok(None);
        };
        cgroups
            .create(key, &plan.limits)
            .map(Some)
            .map_err(|error| {
                let text = format!("the limits of the room cannot be set: {error}");
                RuntimeError::Unavailable(Cause::new(text, error))
            })
    }

    /// Start time and boot id identify the process uniquely on this machine.
    pub fn uid(&self, record: &RoomFile) -> String {
        let boot = self.boot_id.split('-').next().unwrap_or_default();
        let first = record.processes.first().map(|process| process.id);
        let first = first.unwrap_or(ProcessId {
            pid: 0,
            start_ticks: 0,
        });
        format!("{boot}-{}-{}", first.pid, first.start_ticks)
    }

    /// Restarts a container of a running room, from its record.
    pub async fn start_again(
        self: &Arc<Self>,
        record: &RoomFile,
        folder: &RoomFolder,
        container: &str,
    ) -> Result<ProcessId, RuntimeError> {
        let host = self.clone();
        let (record, folder, name) = (record.clone(), folder.clone(), container.to_owned());
        let permit = self.spawns.clone().acquire_owned().await.ok();
        let started = self.jobs.run_to_the_end(move || {
            let _permit = permit;
            // The room may have removed its working folder.
            folder
                .create()
                .map_err(|error| folder_trouble(folder.path(), error))?;
            let key = (record.scheduler.clone(), record.room.clone());
            let plan = plan::plan(&record, &folder, &host.surroundings)
                .map_err(|text| RuntimeError::Invalid(text.into()))?;
            let container = plan.containers.iter().find(|plan| plan.name == name);
            let container = container.ok_or(RuntimeError::NotFound)?;
            let group = host.cgroup_of(&key, &plan)?;
            host.spawn(container, &folder, group)
        });
        started.await?
    }
}
