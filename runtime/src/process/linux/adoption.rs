//! Finds rooms that an earlier process started: by their folders, and by the marks in the environment of processes that
//! were spawned before their record was written.

use super::{
    exit_watch::Ending,
    folder::{Layout, RoomFolder, RoomsFolder},
    host::Host,
    live_room::LiveRoom,
    ports::RoomKey,
    process_table::{self, ProcessId, Row},
    record::{Phase, RoomFile, format_of},
    restart::wants_restart,
    shortage::is_shortage,
    sweep::{self, Scope},
};
use maestro_core::domain::{ConfigPairs, Container, SchedulerVersion, Spec};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
};

pub struct Found {
    pub key: RoomKey,
    pub folder: RoomFolder,
    /// `None`: there is none, or it cannot be read.
    pub record: Option<RoomFile>,
    /// Running processes that match the record.
    recorded: Vec<(String, ProcessId)>,
    /// Running session leaders with this room's marks.
    marked: Vec<(String, ProcessId)>,
    ports: Vec<u16>,
    /// A process with the marks still runs, leader or not.
    leftovers: bool,
}

pub struct Survey {
    pub rooms: Vec<Found>,
    /// The highest in any record.
    pub resource_version: u64,
}

/// Finds running rooms without changing anything.
pub fn survey(rooms: &RoomsFolder, installation: &str, boot_id: &str) -> io::Result<Survey> {
    let table = process_table::scan()?;
    let alive: Vec<_> = table.into_iter().filter(|row| row.stat.alive()).collect();
    let mut marks = HashMap::<RoomKey, Vec<&Row>>::new();
    for row in &alive {
        if let Some(key) = row.marks.of_room(installation) {
            marks.entry(key).or_default().push(row);
        }
    }
    let by_pid: HashMap<_, _> = alive.iter().map(|row| (row.id.pid, row)).collect();
    let mut survey = Survey {
        rooms: Vec::new(),
        resource_version: 0,
    };
    for (scheduler, room, folder) in rooms.rooms()? {
        let key = (scheduler, room);
        let record = match RoomFile::read(&folder) {
            Ok(record) => record,
            // A process that cannot be inspected does not count as gone.
            Err(error) if is_shortage(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(folder = %folder.path().display(), %error, "a room record cannot be read");
                None
            }
        };
        if let Some(record) = &record {
            if let Some(why) = not_of_here(record, &key, installation) {
                tracing::warn!(folder = %folder.path().display(), why, "a folder is left alone");
                continue;
            }
            survey.resource_version = survey.resource_version.max(record.resource_version);
        }
        let marked = marks.remove(&key).unwrap_or_default();
        let mut found = Found::new(key, folder, record, &marked);
        found.compare(&by_pid, boot_id);
        survey.rooms.push(found);
    }
    for (key, marked) in marks {
        if let Some(folder) = rooms.room(&key.0, &key.1) {
            survey.rooms.push(Found::new(key, folder, None, &marked));
        }
    }
    Ok(survey)
}

fn not_of_here(record: &RoomFile, key: &RoomKey, installation: &str) -> Option<&'static str> {
    if record.installation != installation {
        return Some("its room is of another installation");
    }
    let own = record.scheduler == key.0 && record.room == key.1;
    (!own).then_some("its record is of another room")
}

impl Found {
    fn new(key: RoomKey, folder: RoomFolder, record: Option<RoomFile>, rows: &[&Row]) -> Self {
        // Of several sessions with one container's marks, the oldest is the container; it opened
        // the others.
        let mut marked = BTreeMap::<String, ProcessId>::new();
        let mut ports = Vec::new();
        for row in rows {
            ports.extend(&row.marks.ports);
            if !row.leads_session() {
                continue;
            }
            marked
                .entry(row.marks.container.clone().unwrap_or_default())
                .and_modify(|id| {
                    if row.id.start_ticks < id.start_ticks {
                        *id = row.id;
                    }
                })
                .or_insert(row.id);
        }
        ports.sort_unstable();
        ports.dedup();
        let layout = match &record {
            Some(record) => record.layout(),
            None => folder.layout_found(),
        };
        Self {
            key,
            folder: folder.laid_out(layout),
            record,
            recorded: Vec::new(),
            marked: marked.into_iter().collect(),
            ports,
            leftovers: !rows.is_empty(),
        }
    }

    /// Which processes of the record still match it.
    fn compare(&mut self, table: &HashMap<i32, &Row>, boot_id: &str) {
        let Some(record) = self.record.as_ref().filter(|r| r.boot_id == boot_id) else {
            return;
        };
        for process in &record.processes {
            let row = table
                .get(&process.id.pid)
                .filter(|row| row.id == process.id);
            if row.is_some_and(|row| self.is_proved(record, &process.container, row)) {
                self.recorded.push((process.container.clone(), process.id));
            }
        }
    }

    /// Pid and start time match the record. A record in the room's working folder may have been written by
    /// the room, whatever format it claims: then the process itself must show whose it is.
    fn is_proved(&self, record: &RoomFile, container: &str, row: &Row) -> bool {
        let installation = &record.installation;
        if !row.leads_session() || row.marks.contradict(installation, &self.key, container) {
            tracing::warn!(room_id = %self.key.1, pid = row.id.pid, "a room record names a process of another room, left alone");
            return false;
        }
        let apart = [record.layout(), self.folder.layout_found()] == [Layout::Apart; 2];
        let own = apart
            || row.marks.name(installation, &self.key, container)
            || process_table::writes_to(row.id.pid, &self.folder.log(container));
        if !own {
            tracing::warn!(room_id = %self.key.1, pid = row.id.pid, "a room record names a process that cannot be identified as the room's, left alone");
        }
        own
    }

    /// The running process of this container: as recorded, or else by its marks.
    fn process(&self, container: &str) -> Option<ProcessId> {
        let mut known = self.recorded.iter().chain(&self.marked);
        known.find(|(name, _)| name == container).map(|(_, id)| *id)
    }
}

impl Host {
    pub fn adopt(self: &Arc<Self>, found: Found) {
        match &found.record {
            Some(record) if record.phase == Phase::Ended => {
                let at = record.ended_at.unwrap_or(record.created_at);
                self.note_ended(&found.key, at);
                self.sweep_leftovers(&found);
            }
            Some(record) => self.adopt_recorded(record.clone(), &found),
            None if found.marked.is_empty() => {
                self.note_ended(&found.key, jiff::Timestamp::now());
                self.sweep_leftovers(&found);
            }
            None => self.adopt_stray(found),
        }
    }

    /// A room that was waiting for its restart in place, or has to wait: its supervisor continues where
    /// the previous one stopped (D31). How its containers ended is unknown, so it counts as a
    /// failure.
    fn goes_on(&self, record: &RoomFile) -> bool {
        record.phase == Phase::Running
            && record.boot_id == self.boot_id
            && wants_restart(&record.spec.restart_policy, &Ending::default())
    }

    fn adopt_recorded(self: &Arc<Self>, mut record: RoomFile, found: &Found) {
        let names = record.spec.containers.iter().map(|c| c.name.clone());
        let processes: Vec<_> = names
            .filter_map(|name| Some((found.process(&name)?, name)))
            .map(|(id, name)| (name, id))
            .collect();
        if processes.is_empty() && record.phase == Phase::Starting {
            // Its owner creates it or gives it up; until then its ports stay reserved.
            self.claim_found(&found.key, &record.host_ports);
            // If it is given up, its time as an ended room starts now.
            return self.note_ended(&found.key, jiff::Timestamp::now());
        }
        if processes.is_empty() && !self.goes_on(&record) {
            record.phase = Phase::Ended;
            record.ended_at = Some(jiff::Timestamp::now());
            record.end = Some("the room ended while nobody watched".into());
            if let Err(error) = record.write(&found.folder) {
                tracing::warn!(room_id = %found.key.1, %error, "a room record cannot be written");
            }
            self.note_ended(&found.key, jiff::Timestamp::now());
            return self.sweep_leftovers(found);
        }
        let all = processes.len() == record.spec.containers.len();
        let complete = all || record.phase == Phase::Running;
        let changed = processes
            .iter()
            .any(|(name, id)| record.process(name) != Some(*id));
        if complete && record.phase == Phase::Running {
            // A container that is gone keeps its slot: the supervisor decides what that means.
            record
                .processes
                .retain(|process| processes.iter().any(|(name, _)| *name == process.container));
        } else {
            record.processes.clear();
        }
        for (name, id) in &processes {
            record.set_process(name, *id);
        }
        if record.uid.is_empty() {
            record.uid = self.uid(&record);
        }
        if complete {
            record.phase = Phase::Running;
        }
        if changed && let Err(error) = record.write(&found.folder) {
            tracing::warn!(room_id = %found.key.1, %error, "a room record cannot be written");
        }
        self.take_up(record, found, complete);
    }

    /// Without a record only the running processes are known. The owner's order supplies the rest.
    fn adopt_stray(self: &Arc<Self>, found: Found) {
        tracing::warn!(scheduler_name = %found.key.0, room_id = %found.key.1, "a room was found without its record");
        let container = |(name, _): &(String, ProcessId)| Container {
            name: name.clone(),
            ..Default::default()
        };
        let mut record = RoomFile {
            format: format_of(found.folder.layout_found()),
            installation: self.settings.installation.clone(),
            scheduler: found.key.0.clone(),
            room: found.key.1.clone(),
            version: SchedulerVersion::default(),
            validation: false,
            spec: Spec {
                containers: found.marked.iter().map(container).collect(),
                ..Default::default()
            },
            config: ConfigPairs::default(),
            host_ports: found.ports.clone(),
            boot_id: self.boot_id.clone(),
            uid: String::new(),
            resource_version: 0,
            phase: Phase::Starting,
            processes: Vec::new(),
            completed: Vec::new(),
            restart: None,
            restarted: Vec::new(),
            created_at: jiff::Timestamp::now(),
            ended_at: None,
            end: None,
        };
        for (name, id) in &found.marked {
            record.set_process(name, *id);
        }
        record.uid = self.uid(&record);
        self.take_up(record, &found, false);
    }

    fn take_up(self: &Arc<Self>, record: RoomFile, found: &Found, complete: bool) {
        self.claim_found(&found.key, &record.host_ports);
        let live: Arc<LiveRoom> = self.live_or_new(&found.key);
        if !complete {
            self.put_found(&found.key, &record);
        }
        tracing::info!(scheduler_name = %found.key.0, room_id = %found.key.1, "a running room is adopted");
        self.keep(record, found.folder.clone(), &live, complete);
    }

    fn claim_found(&self, key: &RoomKey, ports: &[u16]) {
        if let Some((port, holder)) = self.ports.enter_found(key, ports) {
            tracing::warn!(room_id = %key.1, port, %holder, "two rooms were found with one host port");
        }
    }

    /// The room has ended, but some of its processes still run.
    fn sweep_leftovers(self: &Arc<Self>, found: &Found) {
        if !found.leftovers {
            return;
        }
        let (host, key) = (self.clone(), found.key.clone());
        self.tasks.spawn_on(
            async move {
                let scope = Scope {
                    key: &key,
                    container: None,
                    leaders: Vec::new(),
                };
                sweep::kill_all(&host, &scope).await;
            },
            &self.handle,
        );
    }
}
