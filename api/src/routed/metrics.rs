//! Resource metrics of rooms that are processes are known where these run: at the owner.

use std::time::Duration;

use async_trait::async_trait;

use super::by_owner::ByOwner;
use super::way::{Answer, Call, Way};
use crate::codec::messages::resourcemetrics::{
    AlertsRequest, AlertsResponse, Response, VersionRequest,
};
use crate::{ApiResult, Apis, Code, RequestContext, ResourceMetricsApi, Status, Watch};

/// What bounds the call to another node bounds the begin of a stream, not its length.
pub(super) async fn begin_of_stream<T>(
    patience: Option<Duration>,
    opened: impl Future<Output = ApiResult<T>>,
) -> ApiResult<T> {
    let Some(patience) = patience else {
        return opened.await;
    };
    let opened = tokio::time::timeout(patience, opened).await;
    opened.unwrap_or_else(|_| {
        let text = "context deadline exceeded";
        Err(Status::new(Code::DeadlineExceeded, text))
    })
}

#[async_trait]
impl<W: Way> ResourceMetricsApi for ByOwner<W> {
    async fn get_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Response> {
        let name = request.namespace.clone();
        let call: Call<Response> = Box::new(move |apis: Apis, context: RequestContext| {
            let request = request.clone();
            Box::pin(async move { apis.metrics.get_version(&context, request).await })
                as Answer<'static, _>
        });
        self.0.route(context, name, call).await
    }

    async fn watch_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Watch> {
        let (name, deadline) = (request.namespace.clone(), context.deadline);
        let call: Call<Watch> = Box::new(move |apis: Apis, given: RequestContext| {
            let request = request.clone();
            Box::pin(async move {
                let patience = given.remaining();
                let context = RequestContext { deadline, ..given };
                let opened = apis.metrics.watch_version(&context, request);
                begin_of_stream(patience, opened).await
            }) as Answer<'static, _>
        });
        self.0.route(context, name, call).await
    }

    async fn get_alerts(
        &self,
        context: &RequestContext,
        request: AlertsRequest,
    ) -> ApiResult<AlertsResponse> {
        let name = request.namespace.clone();
        let call: Call<AlertsResponse> = Box::new(move |apis: Apis, context: RequestContext| {
            let request = request.clone();
            Box::pin(async move { apis.metrics.get_alerts(&context, request).await })
                as Answer<'static, _>
        });
        self.0.route(context, name, call).await
    }
}
