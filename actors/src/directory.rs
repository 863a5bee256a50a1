//! The registry of schedulers: maps a name to the handle of its owner, or to the node that owns it.

use crate::error::CallError;
use crate::handle::{AskTimeouts, SchedulerHandle};
use crate::node_counters::NodeCounters;
use crate::taken::Cause;
use dashmap::DashMap;
use maestro_core::domain::SchedulerName;
use maestro_core::ports::{Holder, Member, Owner};
use maestro_core::state::{Refusal, RefusalKind};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// Maximum number of owners for names that no scheduler has. A switch ordered under such a name waits for its
/// scheduler, for a minute or while the queues are paused.
const STRANGERS_MAX: usize = 256;

/// Where the owner of a scheduler runs.
#[derive(Clone)]
pub enum Location {
    /// On this node, or it is being loaded here.
    Local(SchedulerHandle),
    /// On another node.
    Remote(Holder),
    /// The scheduler exists, and nobody owns it at the moment.
    Unowned,
}

/// Read by every request from many threads; lookups return clones.
#[derive(Clone, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Owners on this node. They take precedence over `elsewhere`.
    handles: DashMap<SchedulerName, SchedulerHandle>,
    /// Schedulers without an owner here: the node that owns them, if there is one.
    elsewhere: DashMap<SchedulerName, Option<Holder>>,
    members: RwLock<Arc<[Member]>>,
    /// When the members were looked at.
    looked_at: RwLock<Option<Instant>>,
    changed: Notify,
    closed: AtomicBool,
    /// All schedulers of the store are registered: from then on a missing name means "no such scheduler", or a new one.
    complete: AtomicBool,
    /// Other nodes are alive.
    has_company: AtomicBool,
    /// An operator gives up the rooms that only this node can see.
    leaves_rooms: AtomicBool,
    /// Names that have an owner although no scheduler was created.
    strangers: Mutex<HashSet<SchedulerName>>,
    counters: NodeCounters,
}

impl Directory {
    /// Where the owner of a scheduler runs; `None` if no such scheduler is known.
    ///
    /// # Errors
    /// When the node is shutting down, or has not listed all schedulers yet.
    pub fn locate(&self, name: &str) -> Result<Option<Location>, CallError> {
        if self.0.closed.load(Relaxed) {
            return Err(CallError::ShuttingDown);
        }
        if let Some(entry) = self.0.handles.get(name) {
            return Ok(Some(Location::Local(entry.value().clone())));
        }
        if let Some(entry) = self.0.elsewhere.get(name) {
            let remote = entry.value().clone().map(Location::Remote);
            return Ok(Some(remote.unwrap_or(Location::Unowned)));
        }
        match self.is_complete() {
            true => Ok(None),
            false => Err(CallError::Restarting(name.to_owned())),
        }
    }

    /// The handle of a scheduler whose owner runs here; `None` if no such scheduler is known.
    ///
    /// # Errors
    /// As for [`Self::locate`]; also when the owner runs on another node, or nobody owns the scheduler.
    pub fn find(&self, name: &str) -> Result<Option<SchedulerHandle>, CallError> {
        match self.locate(name)? {
            None => Ok(None),
            Some(Location::Local(handle)) => Ok(Some(handle)),
            Some(Location::Remote(holder)) => Err(CallError::Elsewhere {
                name: name.to_owned(),
                address: holder.address,
            }),
            Some(Location::Unowned) => Err(CallError::Unowned(name.to_owned())),
        }
    }

    /// The nodes that were alive at the last look; empty before the first one.
    pub fn members(&self) -> Arc<[Member]> {
        self.0.members.read().clone()
    }
    pub(crate) fn set_members(&self, members: &[Member]) {
        self.0.counters.taken.looked(members);
        *self.0.members.write() = members.into();
        *self.0.looked_at.write() = Some(Instant::now());
        // A node that hosts nothing waits for one that does, which may join at any time.
        let has_company = members.len() > 1 || members.iter().any(|member| !member.hosts);
        self.0.has_company.store(has_company, Relaxed);
    }

    /// How long ago that was.
    pub(crate) fn look_age(&self) -> Option<Duration> {
        let looked_at = *self.0.looked_at.read();
        looked_at.map(|at| at.elapsed())
    }

    /// Whether no other node has to do with this scheduler: its owner runs here, or this is the only node and knows no
    /// other owner. Costs one look-up for a scheduler that is owned here.
    pub fn is_here(&self, name: &str) -> bool {
        let alone = || !self.0.has_company.load(Relaxed) && !self.0.elsewhere.contains_key(name);
        self.0.handles.contains_key(name) || alone()
    }

    /// Completes when the owner of some scheduler changes after this call. For callers that wait for an owner.
    pub fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }

    /// The handle of a scheduler that this node takes; creates it if necessary.
    pub(crate) fn entry(&self, name: &SchedulerName, timeouts: AskTimeouts) -> SchedulerHandle {
        let mut is_new = false;
        let made = || {
            is_new = true;
            SchedulerHandle::new(name.clone(), timeouts)
        };
        let handle = self
            .0
            .handles
            .entry(name.clone())
            .or_insert_with(made)
            .value()
            .clone();
        if self.0.elsewhere.remove(name).is_none() && is_new {
            self.0.counters.taken.freed(name, None, Cause::Created);
        }
        self.0.changed.notify_waiters();
        handle
    }

    /// Notes who owns a scheduler that this node does not own.
    pub(crate) fn note(&self, name: &SchedulerName, owner: Owner) {
        let unseen = match self.is_complete() {
            true => Cause::Created,
            false => Cause::Start,
        };
        self.hear(name, owner, unseen);
    }

    fn hear(&self, name: &SchedulerName, owner: Owner, unseen: Cause) {
        let before = match &owner {
            Owner::Held(holder) => {
                let held = Some(holder.clone());
                self.0.elsewhere.insert(name.clone(), held)
            }
            Owner::Nobody => self.0.elsewhere.insert(name.clone(), None),
            Owner::Unknown => self.0.elsewhere.remove(name).map(|(_, before)| before),
        };
        let before = before.flatten().map(|holder| holder.session);
        let taken = &self.0.counters.taken;
        taken.heard(name, before, &owner, unseen);
        self.0.changed.notify_waiters();
    }

    /// What is noted of a scheduler that this node does not own; `None`: nothing.
    pub(crate) fn noted(&self, name: &SchedulerName) -> Option<Option<Holder>> {
        self.0
            .elsewhere
            .get(name)
            .map(|entry| entry.value().clone())
    }

    /// The scheduler's owner is no longer this node.
    pub(crate) fn moved(&self, name: &SchedulerName, owner: Owner) {
        // First, so that the scheduler is not missing for a moment.
        self.hear(name, owner, Cause::Lost);
        self.forget(name.as_str());
        self.0.changed.notify_waiters();
    }

    /// Whether its owner runs here, or is being loaded here.
    pub(crate) fn is_local(&self, name: &SchedulerName) -> bool {
        self.0.handles.contains_key(name)
    }

    /// Names that are known here and owned by other nodes or by nobody, in order.
    pub(crate) fn elsewhere(&self) -> Vec<(SchedulerName, Option<Holder>)> {
        let all = self.0.elsewhere.iter();
        let all = all.map(|entry| (entry.key().clone(), entry.value().clone()));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Registers a name that gets an owner although there is no such scheduler.
    ///
    /// # Errors
    /// A refusal if there are too many of them.
    pub(crate) fn admit_stranger(&self, name: &str) -> Result<(), Refusal> {
        let mut strangers = self.0.strangers.lock();
        if strangers.len() >= STRANGERS_MAX && !strangers.contains(name) {
            let text = format!(
                "scheduler {name} not found, and {STRANGERS_MAX} orders for schedulers that do not exist \
                 are waiting already; create it first, or try again in a minute"
            );
            return Err(Refusal::new(RefusalKind::Exhausted, text));
        }
        strangers.insert(name.into());
        Ok(())
    }

    /// The scheduler exists now, so its name no longer counts as a stranger.
    pub(crate) fn created(&self, name: &str) {
        self.0.strangers.lock().remove(name);
    }

    /// The scheduler does not exist any more.
    pub(crate) fn remove(&self, name: &str) {
        self.0.counters.taken.forget(&name.into());
        self.0.elsewhere.remove(name);
        self.forget(name);
        self.0.changed.notify_waiters();
    }

    fn forget(&self, name: &str) {
        if let Some((_, handle)) = self.0.handles.remove(name) {
            self.0.counters.gone(handle);
        }
        self.created(name);
    }

    pub(crate) fn close(&self) {
        self.0.closed.store(true, Relaxed);
        self.0.changed.notify_waiters();
    }
    pub(crate) fn complete(&self) {
        self.0.complete.store(true, Relaxed);
    }
    pub(crate) fn set_leaves_rooms(&self, leaves: bool) {
        self.0.leaves_rooms.store(leaves, Relaxed);
    }
    pub(crate) fn leaves_rooms(&self) -> bool {
        self.0.leaves_rooms.load(Relaxed)
    }
    /// Whether all schedulers of the store have been listed.
    pub fn is_complete(&self) -> bool {
        self.0.complete.load(Relaxed)
    }

    pub(crate) fn counters(&self) -> &NodeCounters {
        &self.0.counters
    }

    pub(crate) fn has(&self, name: &SchedulerName) -> bool {
        self.0.handles.contains_key(name.as_str())
    }

    /// How many owners this node has.
    pub fn count(&self) -> usize {
        self.0.handles.len()
    }

    /// The handles of all owners on this node, in no order.
    pub(crate) fn unordered(&self) -> Vec<SchedulerHandle> {
        self.0.handles.iter().map(|e| e.value().clone()).collect()
    }

    /// The handles of all owners on this node, ordered by name.
    pub fn all(&self) -> Vec<SchedulerHandle> {
        let mut all = self.unordered();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }
}
