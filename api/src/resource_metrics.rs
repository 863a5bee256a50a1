//! What the rooms of a version use, in addition to the contract: the calls that clients of the K8s manager know.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::codec::messages::resourcemetrics::{
    AlertsRequest, AlertsResponse, Response, VersionRequest,
};
use crate::{ApiResult, RequestContext, Status};

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Tick {
    /// Samples that are newer than all before.
    Samples(Response),
    /// They could not be read. The next tick tries again.
    Failed(Status),
}

/// Samples as they come. An error is the last item; without one, the stream ends only by being dropped.
pub type Watch = BoxStream<'static, ApiResult<Tick>>;

/// CPU and memory of versions, and alerts about them. Like calls of [`crate::ManagementApi`], a call ends with its
/// request; a watch ends when its stream is dropped.
#[async_trait]
pub trait ResourceMetricsApi: Send + Sync + 'static {
    /// CPU and memory of a version over time.
    async fn get_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Response>;

    /// The same from now on: one message at once, and one for each tick that has newer samples.
    async fn watch_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Watch>;

    /// Alerts about a version that are pending or firing.
    async fn get_alerts(
        &self,
        context: &RequestContext,
        request: AlertsRequest,
    ) -> ApiResult<AlertsResponse>;
}
