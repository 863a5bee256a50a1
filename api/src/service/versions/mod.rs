//! Orders about versions as clients of the K8s manager give them, and the watch of their rooms.

mod feed;
mod order;
mod until_done;
mod watching;

use async_trait::async_trait;
use maestro_actors::Node;
use maestro_core::domain::SchedulerVersion;
use maestro_core::state::{Command, Reply};
use tokio::runtime::Handle;

use super::late::{Doing, in_time};
use super::names::names;
use crate::codec::messages::version::{NodeStatusRequest, Request, Response};
use crate::error::unexpected;
use crate::{ApiResult, NodeWatch, RequestContext, VersionsApi};
use feed::{NodeFeeds, Watched};
use order::Subject;
use std::sync::Arc;
pub use until_done::UntilDone;

/// Implements the orders with the actors of a node. They are answered when their operation is stored.
pub struct VersionsService {
    node: Node,
    /// Where callers get rooms, without a path.
    rooms_api_url: String,
    feeds: Arc<NodeFeeds>,
}

impl VersionsService {
    /// Must be closed ([`Self::close`]). Watches run on `io`, and are told changes once per second.
    pub fn new(node: Node, rooms_api_url: String, io: Handle) -> Self {
        let feeds = NodeFeeds::new(node.clone(), io);
        Self {
            node,
            rooms_api_url,
            feeds,
        }
    }

    /// Ends all watches and their tasks.
    pub async fn close(&self) {
        self.feeds.close().await;
    }

    async fn order(
        &self,
        context: &RequestContext,
        subject: &Subject,
        command: Command,
    ) -> ApiResult<Response> {
        in_time(context, Doing::Other)?;
        let kind = command.kind();
        let scheduler = &subject.scheduler;
        match super::ask(&self.node, context, scheduler, command).await? {
            Reply::Operation(id) => Ok(Response {
                message: format!(
                    "{kind} of version {} of scheduler {scheduler} is ordered: operation {id}",
                    subject.version
                ),
                operation_id: id.to_string(),
                url: String::new(),
            }),
            other => Err(unexpected(&other)),
        }
    }
}

#[async_trait]
impl VersionsApi for VersionsService {
    async fn start(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let subject = Subject::of(&request)?;
        let command = order::start(&subject, request)?;
        self.order(context, &subject, command).await
    }

    async fn stop(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let subject = Subject::of(&request)?;
        let command = Command::StopVersion {
            version: subject.version.clone(),
            force: request.force,
        };
        self.order(context, &subject, command).await
    }

    async fn publish(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let subject = Subject::of(&request)?;
        let command = Command::PublishVersion(subject.version.clone());
        let ordered = self.order(context, &subject, command).await?;
        let (api, scheduler) = (&self.rooms_api_url, &subject.scheduler);
        Ok(Response {
            url: format!("{api}/scheduler/{scheduler}/rooms/allocate"),
            ..ordered
        })
    }

    async fn unpublish(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let subject = Subject::of(&request)?;
        let command = Command::UnpublishVersion(subject.version.clone());
        self.order(context, &subject, command).await
    }

    async fn update_config(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<Response> {
        let subject = Subject::of(&request)?;
        let command = order::configure(&subject, request)?;
        self.order(context, &subject, command).await
    }

    async fn watch_node_status(
        &self,
        _: &RequestContext,
        request: NodeStatusRequest,
    ) -> ApiResult<NodeWatch> {
        names(&request.namespace, &request.versionName)?;
        let member = self.feeds.join(Watched {
            scheduler: request.namespace,
            version: SchedulerVersion::from(request.versionName),
        })?;
        watching::watch(member).await
    }
}
