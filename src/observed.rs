//! Store metrics by role, whatever the adapter behind the ports is (contract 9).
//!
//! The original's dashboards query Postgres and Redis by name; here the names stand for the roles
//! of those stores: schedulers and versions, operations, rooms.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::domain::{
    Address, Epoch, OperationId, OperationRecord, Scheduler, SchedulerName, Seq,
};
use maestro_core::ports::*;
use maestro_metrics::LATENCY_BUCKETS_MS;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

const SQL_LATENCY: &str = "maestro_worker_postgres_operation_latency";
const SQL_FAILS: &str = "maestro_worker_postgres_fails_total";
const KEY_LATENCY: &str = "maestro_worker_redis_operation_latency";
const KEY_FAILS: &str = "maestro_worker_redis_fails_total";
/// The metrics of all stores of a process. Its clones count together.
#[derive(Clone)]
pub struct StoreMetrics {
    sql: Families,
    keys: Families,
}

/// How long calls took, and how many failed.
#[derive(Clone)]
struct Families {
    latency: HistogramVec,
    fails: IntCounterVec,
}

impl Families {
    fn register(
        registry: &Registry,
        labels: &[&str],
        [latency, about_latency]: [&str; 2],
        [fails, about_fails]: [&str; 2],
    ) -> prometheus::Result<Self> {
        let about = HistogramOpts::new(latency, about_latency);
        let families = Self {
            latency: HistogramVec::new(about.buckets(LATENCY_BUCKETS_MS.to_vec()), labels)?,
            fails: IntCounterVec::new(Opts::new(fails, about_fails), labels)?,
        };
        registry.register(Box::new(families.latency.clone()))?;
        registry.register(Box::new(families.fails.clone()))?;
        Ok(families)
    }

    fn role(&self, labels: &[&str]) -> Role {
        Role {
            latency: self.latency.with_label_values(labels),
            fails: self.fails.with_label_values(labels),
        }
    }
}

impl StoreMetrics {
    /// # Errors
    /// If the registry already has them.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            sql: Families::register(
                registry,
                &["storage", "operation"],
                [
                    SQL_LATENCY,
                    "How long the store of schedulers took, in milliseconds (latency)",
                ],
                [
                    SQL_FAILS,
                    "Calls that the store of schedulers refused or failed (counter)",
                ],
            )?,
            keys: Families::register(
                registry,
                &["storage"],
                [
                    KEY_LATENCY,
                    "How long the stores of rooms and operations took, in milliseconds (latency)",
                ],
                [
                    KEY_FAILS,
                    "Calls that the stores of rooms and operations refused or failed (counter)",
                ],
            )?,
        })
    }

    fn sql(&self, operation: &str) -> Role {
        self.sql.role(&["scheduler-storage", operation])
    }

    fn keys(&self, storage: &str) -> Role {
        self.keys.role(&[storage])
    }

    /// Creations that were refused before any store call count for that role.
    pub fn duplicate_creates(&self) -> IntCounter {
        self.sql("CreateScheduler").fails
    }
}

/// One role: how long its calls take, how often they fail.
struct Role {
    latency: Histogram,
    fails: IntCounter,
}

impl Role {
    fn record(&self, began: Instant, failed: bool) {
        self.latency.observe(began.elapsed().as_secs_f64() * 1000.0);
        if failed {
            self.fails.inc();
        }
    }
}

struct Roles {
    get_scheduler: Role,
    get_schedulers: Role,
    get_version: Role,
    get_versions: Role,
    get_all: Role,
    create_scheduler: Role,
    create_version: Role,
    update_scheduler: Role,
    delete_scheduler: Role,
    scheduler_cache: Role,
    operations: Role,
    operation_flow: Role,
    operation_leases: Role,
    rooms: Role,
    instances: Role,
}

/// A store wrapped with its metrics.
pub struct Observed<S> {
    inner: Arc<S>,
    roles: Roles,
}

impl<S> Observed<S> {
    /// Registers all series, so that they exist before the first call.
    pub fn new(inner: Arc<S>, metrics: &StoreMetrics) -> Self {
        // The query for several schedulers by name. No code here makes it, but dashboards list it
        // (contract 9).
        metrics.sql("GetSchedulers");
        let roles = Roles {
            get_scheduler: metrics.sql("GetScheduler"),
            get_schedulers: metrics.sql("GetSchedulersWithFilter"),
            get_version: metrics.sql("GetSchedulerWithFilter"),
            get_versions: metrics.sql("GetSchedulerVersions"),
            get_all: metrics.sql("GetAllSchedulers"),
            create_scheduler: metrics.sql("CreateScheduler"),
            create_version: metrics.sql("CreateSchedulerVersion"),
            update_scheduler: metrics.sql("UpdateScheduler"),
            delete_scheduler: metrics.sql("DeleteScheduler"),
            scheduler_cache: metrics.keys("scheduler-cache-storage"),
            operations: metrics.keys("operation-storage"),
            operation_flow: metrics.keys("operation-flow-storage"),
            operation_leases: metrics.keys("operation-lease-storage"),
            rooms: metrics.keys("room-storage"),
            instances: metrics.keys("instance-storage"),
        };
        Self { inner, roles }
    }

    /// The roles that a batch touches; each is counted once.
    fn touched(&self, changes: &[Change]) -> Vec<&Role> {
        let roles = &self.roles;
        let mut touched: Vec<&Role> = Vec::new();
        for change in changes {
            let of_change: &[&Role] = match change {
                Change::CreateScheduler(_) => &[&roles.create_scheduler, &roles.create_version],
                Change::UpdateScheduler(_)
                | Change::PutOperator(_)
                | Change::PutRuntime(_)
                | Change::PutLiveVersion(_) => &[&roles.update_scheduler],
                Change::CreateVersion { .. }
                | Change::UpdateVersion(_)
                | Change::DeleteVersion(_) => &[&roles.create_version],
                Change::DeleteScheduler { .. } => &[&roles.delete_scheduler],
                Change::PutRoom(_) | Change::DeleteRoom(_) | Change::Clear => {
                    &[&roles.rooms, &roles.instances]
                }
                Change::TouchRooms(_) => &[&roles.rooms],
                Change::PutOperation(_) => &[&roles.operations, &roles.operation_flow],
                Change::DeleteOperations(_) => &[&roles.operations],
                Change::RenewOperationLease { .. } => &[&roles.operation_leases],
            };
            for role in of_change {
                if !touched.iter().any(|known| std::ptr::eq(*known, *role)) {
                    touched.push(role);
                }
            }
        }
        touched
    }
}

async fn timed<T, E>(roles: &[&Role], work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let began = Instant::now();
    let result = work.await;
    roles
        .iter()
        .for_each(|role| role.record(began, result.is_err()));
    result
}

#[async_trait]
impl<S: Store> Store for Observed<S> {
    async fn commit(&self, fence: Fence, changes: Arc<[Change]>) -> Result<(), CommitError> {
        let roles = self.touched(&changes);
        timed(&roles, self.inner.commit(fence, changes)).await
    }
    async fn stored_seq(
        &self,
        scheduler: &SchedulerName,
        epoch: Epoch,
    ) -> Result<Seq, CommitError> {
        self.inner.stored_seq(scheduler, epoch).await
    }
    async fn load(&self, owned: &[(SchedulerName, Epoch)]) -> Vec<Result<Loaded, StoreError>> {
        let r = &self.roles;
        let roles = [
            &r.get_scheduler,
            &r.get_versions,
            &r.operations,
            &r.rooms,
            &r.instances,
        ];
        let began = Instant::now();
        let loaded = self.inner.load(owned).await;
        let failed = loaded.iter().any(Result::is_err);
        roles.iter().for_each(|role| role.record(began, failed));
        loaded
    }
    fn outage(&self) -> Option<Arc<Outage>> {
        self.inner.outage()
    }
}

#[async_trait]
impl<S: Reads> Reads for Observed<S> {
    async fn schedulers(
        &self,
        filter: &SchedulerFilter,
    ) -> Result<Vec<Arc<Scheduler>>, StoreError> {
        timed(&[&self.roles.get_schedulers], self.inner.schedulers(filter)).await
    }
    async fn scheduler(&self, name: &str) -> Result<Option<Arc<Scheduler>>, StoreError> {
        let roles = [&self.roles.scheduler_cache, &self.roles.get_scheduler];
        timed(&roles, self.inner.scheduler(name)).await
    }
    async fn scheduler_version(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Arc<Scheduler>>, StoreError> {
        timed(
            &[&self.roles.get_version],
            self.inner.scheduler_version(name, version),
        )
        .await
    }
    async fn versions(&self, name: &str) -> Result<Vec<VersionRow>, StoreError> {
        timed(&[&self.roles.get_versions], self.inner.versions(name)).await
    }
    async fn operations(&self, scheduler: &str, stage: Stage) -> Result<OperationPage, StoreError> {
        let role = match stage {
            Stage::Pending => &self.roles.operation_flow,
            _ => &self.roles.operations,
        };
        timed(&[role], self.inner.operations(scheduler, stage)).await
    }
    async fn operation(
        &self,
        scheduler: &str,
        id: OperationId,
    ) -> Result<Option<Arc<OperationRecord>>, StoreError> {
        timed(
            &[&self.roles.operations],
            self.inner.operation(scheduler, id),
        )
        .await
    }
    async fn room_counts(&self, schedulers: &[&str]) -> Result<Vec<RoomCounts>, StoreError> {
        timed(&[&self.roles.rooms], self.inner.room_counts(schedulers)).await
    }
    async fn room_address(
        &self,
        scheduler: &str,
        room: &str,
    ) -> Result<Option<Option<Address>>, StoreError> {
        timed(
            &[&self.roles.instances],
            self.inner.room_address(scheduler, room),
        )
        .await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }
}

#[async_trait]
impl<S: Ownership> Ownership for Observed<S> {
    async fn discover(&self) -> Result<Vec<SchedulerName>, StoreError> {
        timed(&[&self.roles.get_all], self.inner.discover()).await
    }
    fn myself(&self) -> Member {
        self.inner.myself()
    }
    async fn members(&self) -> Result<Vec<Member>, StoreError> {
        self.inner.members().await
    }
    async fn owners(&self) -> Result<Vec<(SchedulerName, Holder)>, StoreError> {
        self.inner.owners().await
    }
    async fn owner(&self, name: &SchedulerName) -> Result<Owner, StoreError> {
        self.inner.owner(name).await
    }
    fn changes(&self) -> BoxStream<'static, OwnerChange> {
        self.inner.changes()
    }
    async fn acquire(&self, names: &[SchedulerName]) -> Result<Vec<Claim>, StoreError> {
        self.inner.acquire(names).await
    }
    async fn renew(&self, held: &[(SchedulerName, Epoch)]) -> Result<Vec<Renewal>, StoreError> {
        self.inner.renew(held).await
    }
    async fn release(&self, held: &[(SchedulerName, Epoch)]) -> Result<(), StoreError> {
        self.inner.release(held).await
    }
    async fn overview(&self) -> Result<Overview, StoreError> {
        self.inner.overview().await
    }
    async fn outbox(&self) -> Result<Outbox, StoreError> {
        self.inner.outbox().await
    }
    async fn drain(&self, session: Uuid, draining: bool) -> Result<bool, StoreError> {
        self.inner.drain(session, draining).await
    }
    async fn forget_unneeded(&self) -> Result<(), StoreError> {
        self.inner.forget_unneeded().await
    }
    async fn leave(&self) -> Result<(), StoreError> {
        self.inner.leave().await
    }
}

impl<S: Feed> Feed for Observed<S> {
    fn subscribe(&self) -> BoxStream<'static, FeedEvent> {
        self.inner.subscribe()
    }
}
