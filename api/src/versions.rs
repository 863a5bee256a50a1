//! Orders about the versions of a scheduler, in addition to the contract: the calls that clients of the K8s manager
//! know.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::codec::messages::version::{NodeStatusRequest, NodeStatusResponse, Request, Response};
use crate::{ApiResult, RequestContext};

/// How far rooms are, as it changes. An error is the last item; without one, the stream ends only by being dropped.
pub type NodeWatch = BoxStream<'static, ApiResult<NodeStatusResponse>>;

/// Orders about versions. An order is answered when its operation is stored; behind [`crate::UntilDone`], when the
/// operation has ended. A repeated order is a new one.
///
/// Like calls of [`crate::ManagementApi`], a call ends with its request, and its operation goes on; a watch ends when
/// its stream is dropped.
#[async_trait]
pub trait VersionsApi: Send + Sync + 'static {
    /// Gives a version its rooms.
    async fn start(&self, context: &RequestContext, request: Request) -> ApiResult<Response>;

    /// Ends the rooms of a version.
    async fn stop(&self, context: &RequestContext, request: Request) -> ApiResult<Response>;

    /// Gives rooms of this version to callers of allocations.
    async fn publish(&self, context: &RequestContext, request: Request) -> ApiResult<Response>;

    /// Gives the rooms of a version to nobody any more.
    async fn unpublish(&self, context: &RequestContext, request: Request) -> ApiResult<Response>;

    /// Replaces the configuration of a version.
    async fn update_config(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<Response>;

    /// How far each room of a version is, and then each change of that.
    async fn watch_node_status(
        &self,
        context: &RequestContext,
        request: NodeStatusRequest,
    ) -> ApiResult<NodeWatch>;
}
