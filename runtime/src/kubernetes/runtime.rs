//! Opening and shutting down, and the port itself.

use super::budget::Budgets;
use super::client::Calls;
use super::dead::Limits;
use super::events::Events;
use super::index::Index;
use super::limiter::{self, CallCounts};
use super::lookup::Lookup;
use super::namespace::Namespaces;
use super::platform::Platform;
use super::rooms::Rooms;
use super::settings::{KubernetesSettings, OpenError};
use super::watch::Watches;
use crate::feeds::Feeds;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::domain::*;
use maestro_core::ports::*;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Calls that are in flight at the shutdown may end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// Rooms as pods of a cluster. Shutting it down ends no room: whoever owns their scheduler next finds them.
pub struct KubernetesRuntime {
    rooms: Rooms,
    watches: Watches,
    events: Events,
    budgets: Budgets,
    platform: Arc<Platform>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl KubernetesRuntime {
    /// Must be called on the runtime that is to make all calls. The API server may be away: watches wait for it.
    ///
    /// # Errors
    /// If the credentials cannot be used.
    pub async fn open(settings: KubernetesSettings) -> Result<Arc<Self>, OpenError> {
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let calls = Calls::open(&settings, stopping.clone()).await?;
        let feeds = Arc::new(Feeds::new(0, stopping.clone()).incomplete());
        let index = Arc::new(Index::new(feeds, settings.default_ports));
        let namespaces = Namespaces::new(calls.clone(), settings.pod_security.clone());
        let lookup = Lookup {
            index: index.clone(),
            calls: calls.clone(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
            limits: Limits {
                silence: settings.silence,
                lost: settings.deletion_timeout,
            },
            asking: Arc::default(),
        };
        let watches = Watches::start(lookup, settings.watch_timeout);
        Ok(Arc::new(Self {
            watches,
            events: Events::new(calls.clone(), tasks.clone()),
            budgets: Budgets::new(
                calls.clone(),
                namespaces.clone(),
                index.clone(),
                tasks.clone(),
                stopping.clone(),
            ),
            platform: Arc::new(Platform::new(
                calls.clone(),
                namespaces.clone(),
                settings.platform.clone(),
            )),
            rooms: Rooms {
                calls,
                index,
                namespaces,
                settings,
            },
            tasks,
            stopping,
        }))
    }

    /// The objects of runtimes and versions, by the same client.
    pub fn platform(&self) -> Arc<dyn PlatformObjects> {
        self.platform.clone()
    }

    /// What was asked of Kubernetes until now.
    pub fn calls(&self) -> CallCounts {
        self.rooms.calls.counts()
    }

    /// Ends all watches; rooms keep running.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, self.tasks.wait()).await;
    }
}

impl Drop for KubernetesRuntime {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

#[async_trait]
impl Runtime for KubernetesRuntime {
    async fn admit(&self, scheduler: &SchedulerName, urgency: Urgency) -> Option<Admission> {
        let urgency = match urgency {
            Urgency::Removal => limiter::Urgency::Urgent,
            Urgency::Other => limiter::Urgency::Normal,
        };
        // Without it the call itself is refused, and says why.
        let leave = self.rooms.calls.leave(scheduler, urgency).await.ok()?;
        Some(Box::new(leave))
    }

    async fn prepare(
        &self,
        scheduler: &Scheduler,
        operation: OperationId,
    ) -> Result<Prepared, RuntimeError> {
        let namespaces = &self.rooms.namespaces;
        let created = namespaces.ensure(&scheduler.name, Some(operation)).await?;
        Ok(Prepared { created })
    }

    async fn remove(
        &self,
        scheduler: &SchedulerName,
        made_by: Option<OperationId>,
    ) -> Result<(), RuntimeError> {
        let removed = self.rooms.namespaces.remove(scheduler, made_by).await;
        if removed.is_ok() {
            self.budgets.forget(scheduler);
        }
        removed
    }

    async fn reserve_ports(
        &self,
        room: &RoomId,
        scheduler: &Scheduler,
    ) -> Result<Arc<[u16]>, RuntimeError> {
        self.rooms.index.reserve_ports(room, scheduler)
    }

    async fn release_ports(&self, room: &RoomId) {
        self.rooms.index.release_ports(room);
    }

    async fn create(&self, order: &RoomOrder) -> Result<Instance, RuntimeError> {
        self.rooms.create(order).await
    }

    async fn terminate(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        uid: Option<&str>,
        _: Duration,
        reason: RemovalReason,
    ) -> Result<(), RuntimeError> {
        let index = &self.rooms.index;
        let known = uid.map(str::to_owned);
        let known = known.or_else(|| index.uid(scheduler, room));
        if let Some(uid) = known.clone() {
            self.events.removed(scheduler, room, uid, reason);
        }
        let ended = self.rooms.delete(scheduler, room, uid).await;
        if let Err(RuntimeError::NotFound) = ended {
            index.release_ports(room);
            // The watch may never tell: where a list has been read since, it begins after the end.
            if let Some(uid) = known {
                index.gone(scheduler, room, &uid, None);
            }
        }
        ended
    }

    async fn protect(
        &self,
        scheduler: &SchedulerName,
        order: &Protection,
    ) -> Result<(), RuntimeError> {
        self.budgets.protect(scheduler, order).await
    }

    fn watch(&self, scheduler: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        let events = self.rooms.index.feeds().watch(scheduler);
        self.watches.want(scheduler);
        events
    }

    async fn log_tail(
        &self,
        scheduler: &SchedulerName,
        room: &RoomId,
        lines: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        self.rooms.log_tail(scheduler, room, lines).await
    }
}
