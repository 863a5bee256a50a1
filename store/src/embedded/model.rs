//! The read model: active schedulers, versions, room counts and open operations, in memory. Only the writer changes it,
//! after each commit; no lock guard leaves this module.

use maestro_core::{
    domain::{
        OperationId, OperationRecord, OperationStatus, RoomStatus, Scheduler, SchedulerName,
        SchedulerVersion,
    },
    ports::{RoomCounts, SchedulerFilter, VersionRow},
};
use parking_lot::RwLock;
use std::{cmp::Ordering, collections::HashMap, sync::Arc};

/// One change of a commit, applied to the model once it is durable.
pub enum ModelChange {
    Active(Active),
    Version(VersionRow),
    VersionGone(SchedulerVersion),
    /// There is a runtime of this name.
    Runtime,
    /// Everything of a scheduler was deleted, except one operation.
    Deleted {
        keep: OperationId,
        history: u64,
    },
    /// A room was added (`from` is `None`), removed (`to` is `None`) or changed its status.
    Room {
        from: Option<RoomStatus>,
        to: Option<RoomStatus>,
    },
    /// An operation was written; `history` is what it adds to the length of the history.
    Operation {
        operation: QueuedOperation,
        history: i64,
    },
    /// One more entry in the history, found while reading the file.
    Ended,
    OperationGone {
        id: OperationId,
        history: i64,
    },
}

/// The active document, and the form for listings, whose creation time is that of the row (contract 2.4).
pub struct Active {
    document: Arc<Scheduler>,
    listed: Arc<Scheduler>,
}

impl Active {
    pub fn new(document: Arc<Scheduler>, row_created_at: jiff::Timestamp) -> Self {
        let listed = if document.created_at == row_created_at {
            document.clone()
        } else {
            Arc::new(Scheduler {
                created_at: row_created_at,
                ..Scheduler::clone(&document)
            })
        };
        Self { document, listed }
    }
}

#[derive(Clone)]
pub struct QueuedOperation {
    /// Position in the order of creation.
    pub order: u64,
    pub record: Arc<OperationRecord>,
}

impl QueuedOperation {
    /// Running ones first, then priority ones, the latest first, then by creation (contract 5.2).
    pub fn by_queue(&self, other: &Self) -> Ordering {
        let running = |o: &Self| o.record.status == OperationStatus::InProgress;
        let created = |o: &Self| (o.record.created_at, o.order);
        let (a, b) = (self, other);
        running(b)
            .cmp(&running(a))
            .then_with(|| b.record.priority.cmp(&a.record.priority))
            .then_with(|| {
                if a.record.priority {
                    created(b).cmp(&created(a))
                } else {
                    created(a).cmp(&created(b))
                }
            })
    }
}

/// Everything about one name.
#[derive(Default)]
pub struct Entry {
    active: Option<Active>,
    has_runtime: bool,
    versions: Vec<VersionRow>,
    rooms: RoomCounts,
    open: HashMap<OperationId, QueuedOperation>,
    history: u64,
}

impl Entry {
    pub fn apply(&mut self, change: ModelChange) {
        match change {
            ModelChange::Active(active) => self.active = Some(active),
            ModelChange::Version(row) => self.versions.push(row),
            ModelChange::VersionGone(version) => self.versions.retain(|row| row.version != version),
            ModelChange::Runtime => self.has_runtime = true,
            ModelChange::Deleted { keep, history } => {
                self.active = None;
                self.has_runtime = false;
                self.versions.clear();
                self.rooms = RoomCounts::default();
                self.open.retain(|id, _| *id == keep);
                self.history = history;
            }
            ModelChange::Room { from, to } => {
                if let Some(from) = from {
                    let count = &mut self.rooms.0[from as usize];
                    *count = count.saturating_sub(1);
                }
                if let Some(to) = to {
                    self.rooms.0[to as usize] += 1;
                }
            }
            ModelChange::Operation { operation, history } => {
                self.history = self.history.saturating_add_signed(history);
                let id = operation.record.id;
                if operation.record.status.is_final() {
                    self.open.remove(&id);
                } else {
                    self.open.insert(id, operation);
                }
            }
            ModelChange::Ended => self.history += 1,
            ModelChange::OperationGone { id, history } => {
                self.history = self.history.saturating_add_signed(history);
                self.open.remove(&id);
            }
        }
    }

    /// Whether there is anything for an owner to do.
    fn is_wanted(&self) -> bool {
        self.active.is_some() || self.has_runtime || !self.open.is_empty()
    }

    /// Whether nothing is left under this name.
    fn is_empty(&self) -> bool {
        self.active.is_none()
            && !self.has_runtime
            && self.versions.is_empty()
            && self.rooms.total() == 0
            && self.open.is_empty()
            && self.history == 0
    }
}

pub type Entries = HashMap<SchedulerName, Entry>;

#[derive(Default)]
pub struct Model {
    entries: RwLock<Entries>,
}

impl Model {
    /// Replaces all entries with those read from the file.
    pub fn replace(&self, entries: Entries) {
        *self.entries.write() = entries;
    }

    /// Applies the changes of one commit; readers see all of them or none.
    pub fn apply(&self, changes: Vec<(SchedulerName, ModelChange)>) {
        let mut entries = self.entries.write();
        for (scheduler, change) in changes {
            let gone = {
                let entry = entries.entry(scheduler.clone()).or_default();
                entry.apply(change);
                entry.is_empty()
            };
            if gone {
                entries.remove(&scheduler);
            }
        }
    }

    pub fn exists(&self, name: &str) -> bool {
        self.with(name, |e| e.active.is_some()).unwrap_or(false)
    }

    /// Names of schedulers, and of those that only have a runtime or open operations.
    pub fn wanted(&self) -> Vec<SchedulerName> {
        let entries = self.entries.read();
        let wanted = entries.iter().filter(|(_, e)| e.is_wanted());
        wanted.map(|(name, _)| name.clone()).collect()
    }

    pub fn is_wanted(&self, name: &SchedulerName) -> bool {
        self.with(name.as_str(), Entry::is_wanted).unwrap_or(false)
    }

    /// Active schedulers that match the filter, ordered by name.
    pub fn schedulers(&self, filter: &SchedulerFilter) -> Vec<Arc<Scheduler>> {
        let listed = |e: &Entry| e.active.as_ref().map(|a| a.listed.clone());
        if !filter.name.is_empty() {
            let one = self.with(&filter.name, listed).flatten();
            return one.into_iter().filter(|s| fits(s, filter)).collect();
        }
        let mut found: Vec<_> = self.entries.read().values().filter_map(listed).collect();
        found.retain(|s| fits(s, filter));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    pub fn scheduler(&self, name: &str) -> Option<Arc<Scheduler>> {
        self.with(name, |e| e.active.as_ref().map(|a| a.document.clone()))
            .flatten()
    }

    /// Newest first.
    pub fn versions(&self, name: &str) -> Vec<VersionRow> {
        let mut rows = self.with(name, |e| e.versions.clone()).unwrap_or_default();
        rows.sort_by_cached_key(|row| std::cmp::Reverse((row.created_at, row.version.clone())));
        rows
    }

    pub fn rooms(&self, name: &str) -> RoomCounts {
        self.with(name, |e| e.rooms).unwrap_or_default()
    }

    /// Number of operations in the history.
    pub fn history(&self, name: &str) -> u64 {
        self.with(name, |e| e.history).unwrap_or(0)
    }

    /// An operation that has not ended.
    pub fn operation(&self, name: &str, id: OperationId) -> Option<Arc<OperationRecord>> {
        self.with(name, |e| e.open.get(&id).map(|o| o.record.clone()))
            .flatten()
    }

    /// Operations of this non-final status, in the order of the queue.
    pub fn operations(&self, name: &str, status: OperationStatus) -> Vec<Arc<OperationRecord>> {
        let mut found: Vec<_> = self
            .with(name, |e| {
                let wanted = e.open.values().filter(|o| o.record.status == status);
                wanted.cloned().collect()
            })
            .unwrap_or_default();
        found.sort_by(QueuedOperation::by_queue);
        found.into_iter().map(|o| o.record).collect()
    }

    fn with<T>(&self, name: &str, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.entries.read().get(name).map(look)
    }
}

/// Whether game and version match; the name has been looked up before.
fn fits(scheduler: &Scheduler, filter: &SchedulerFilter) -> bool {
    let matches = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
    matches(&filter.game, &scheduler.game) && matches(&filter.version, scheduler.version().as_str())
}
