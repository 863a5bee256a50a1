//! What the rooms of versions use, as their source says: the calls that clients of the K8s manager know.

mod answer;
mod asked;
mod feed;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use jiff::Timestamp;
use maestro_actors::Node;
use maestro_core::domain::{RoomId, SchedulerVersion};
use maestro_core::ports::{Alert, Measured, MetricsSource, Usage, Window};
use maestro_core::state::{Command, ROOMS_PAGE_MAX, Reply, RoomQuery};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::names::names;
use crate::codec::messages::resourcemetrics::{
    AlertsRequest, AlertsResponse, Response, VersionRequest,
};
use crate::error::unexpected;
use crate::{ApiResult, RequestContext, ResourceMetricsApi, Status, Watch};
pub use answer::Unit as CpuUnit;
use feed::{Feeds, Watched};

/// The most watches of one node.
const WATCHES_MAX: usize = 4_096;

/// How resource metrics are asked for and written.
#[derive(Clone, Copy, Debug)]
pub struct ResourceSettings {
    /// How often a watch asks for newer samples.
    pub watch_interval: Duration,
    /// The step of a watch without one, and the least step that is chosen for an answer. Whole seconds.
    pub step: Duration,
    /// How CPU is written.
    pub cpu_unit: CpuUnit,
}

impl Default for ResourceSettings {
    fn default() -> Self {
        Self {
            watch_interval: Duration::from_secs(5),
            step: Duration::from_secs(5),
            cpu_unit: CpuUnit::Cores,
        }
    }
}

/// Implements the resource metrics with a source of them.
pub struct ResourcesService {
    source: Arc<Questions>,
    settings: ResourceSettings,
    feeds: Arc<Feeds>,
}

impl ResourcesService {
    /// Must be closed ([`Self::close`]). The source is asked on the runtime `io`, whichever thread calls.
    pub fn new(
        node: Node,
        source: Arc<dyn MetricsSource>,
        settings: ResourceSettings,
        io: Handle,
    ) -> Self {
        let source = Arc::new(Questions {
            node,
            source,
            io: io.clone(),
        });
        let asked = source.clone();
        let ask = move |watched: &Watched, window: Window| {
            let (source, watched) = (asked.clone(), watched.clone());
            async move {
                let of = source.measured(&watched.scheduler, &watched.version);
                source.usage(of.await?, window).await
            }
            .boxed()
        };
        let interval = settings.watch_interval;
        Self {
            source,
            settings,
            feeds: Feeds::new(Box::new(ask), Timestamp::now, interval, WATCHES_MAX, io),
        }
    }

    /// Ends all watches and their tasks.
    pub async fn close(&self) {
        self.feeds.close().await;
    }
}

/// The source, and what its questions need.
struct Questions {
    node: Node,
    source: Arc<dyn MetricsSource>,
    io: Handle,
}

impl Questions {
    /// The version, if there is one of these names.
    async fn measured(&self, scheduler: &str, version: &str) -> ApiResult<Measured> {
        names(scheduler, version)?;
        let names = (scheduler.to_owned(), version.to_owned());
        let read = self.node.catalog().read(move |reads| {
            Box::pin(async move {
                let (scheduler, version) = &names;
                Ok(match reads.scheduler_version(scheduler, version).await? {
                    Some(found) => Ok(found.name.clone()),
                    None => Err(reads.scheduler(scheduler).await?.is_some()),
                })
            })
        });
        let name = read.await?.map_err(|scheduler_exists| {
            Status::not_found(match scheduler_exists {
                true => format!("version {version} of scheduler {scheduler} not found"),
                false => format!("scheduler {scheduler} not found"),
            })
        })?;
        let version = SchedulerVersion::from(version);
        let rooms = match self.source.selects_by_rooms() {
            true => self.rooms(scheduler, &version).await?,
            false => Vec::new(),
        };
        Ok(Measured {
            scheduler: name,
            version,
            rooms,
        })
    }

    async fn rooms(&self, scheduler: &str, version: &SchedulerVersion) -> ApiResult<Vec<RoomId>> {
        let mut rooms = Vec::new();
        loop {
            let query = RoomQuery {
                status: None,
                ended: false,
                version: Some(version.clone()),
                offset: rooms.len(),
                limit: ROOMS_PAGE_MAX,
            };
            let context = RequestContext::internal();
            let asked = super::ask(&self.node, &context, scheduler, Command::Rooms(query));
            let page = match asked.await? {
                Reply::Rooms(page) => page,
                other => return Err(unexpected(&other)),
            };
            let before = rooms.len();
            rooms.extend(page.rooms.into_iter().map(|row| row.room.id));
            if rooms.len() == before || rooms.len() >= page.total {
                return Ok(rooms);
            }
        }
    }

    async fn usage(&self, of: Measured, window: Window) -> ApiResult<Vec<Usage>> {
        let source = self.source.clone();
        self.ask(async move { Ok(source.usage(&of, window).await?) })
            .await
    }

    async fn alerts(&self, of: Measured) -> ApiResult<Vec<Alert>> {
        let source = self.source.clone();
        self.ask(async move { Ok(source.alerts(&of).await?) }).await
    }

    /// Clients of sources live on the I/O runtime. Dropping the call cancels it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = ApiResult<T>> + Send + 'static,
    ) -> ApiResult<T> {
        let asking = AbortOnDropHandle::new(self.io.spawn(question));
        asking.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a question for resource metrics failed");
            Err(Status::internal("internal error"))
        })
    }
}

#[async_trait]
impl ResourceMetricsApi for ResourcesService {
    async fn get_version(
        &self,
        _: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Response> {
        names(&request.namespace, &request.versionName)?;
        let window = asked::window(&request, self.feeds.now(), self.settings.step)?;
        let names = (&request.namespace, &request.versionName);
        let of = self.source.measured(names.0, names.1).await?;
        let samples = self.source.usage(of, window).await?;
        Ok(self.settings.cpu_unit.response(samples))
    }

    async fn watch_version(&self, _: &RequestContext, request: VersionRequest) -> ApiResult<Watch> {
        names(&request.namespace, &request.versionName)?;
        let first = asked::watched(&request, self.feeds.now(), self.settings.step)?;
        // Unknown names are the answer of the call, not of its stream.
        let names = (&request.namespace, &request.versionName);
        self.source.measured(names.0, names.1).await?;
        let member = self.feeds.join(Watched {
            scheduler: request.namespace,
            version: request.versionName,
            step: first.step.as_secs(),
        })?;
        Ok(watching::watch(member, first, self.settings.cpu_unit))
    }

    async fn get_alerts(
        &self,
        _: &RequestContext,
        request: AlertsRequest,
    ) -> ApiResult<AlertsResponse> {
        let names = (&request.namespace, &request.versionName);
        let of = self.source.measured(names.0, names.1).await?;
        Ok(answer::alerts(self.source.alerts(of).await?))
    }
}

#[cfg(test)]
mod tests;
