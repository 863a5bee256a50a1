//! Calls for what rooms use; a watch is a stream of the other process.

use futures_util::StreamExt;
use maestro_api::codec::messages::resourcemetrics::{
    AlertsRequest, AlertsResponse, Response, VersionRequest,
};
use maestro_api::{ApiResult, RequestContext, ResourceMetricsApi, Tick, Watch};

use super::{ANSWER_MAX, GrpcClient, failure, incoming};
use crate::api::resource_metrics_service_client::ResourceMetricsServiceClient;

impl GrpcClient {
    fn resource_metrics(&self) -> ResourceMetricsServiceClient<tonic::transport::Channel> {
        let client = ResourceMetricsServiceClient::new(self.channel.clone());
        client.max_decoding_message_size(ANSWER_MAX)
    }
}

#[tonic::async_trait]
impl ResourceMetricsApi for GrpcClient {
    async fn get_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Response> {
        let mut client = self.resource_metrics();
        incoming(context, client.get_version(self.outgoing(context, request))).await
    }

    async fn watch_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Watch> {
        let mut client = self.resource_metrics();
        let opened = client.watch_version(self.outgoing(context, request));
        let messages = incoming(context, opened).await?;
        let ticks = messages.map(|message| match message {
            Ok(samples) => Ok(Tick::Samples(samples)),
            Err(told) => Err(failure(&told)),
        });
        Ok(ticks.boxed())
    }

    async fn get_alerts(
        &self,
        context: &RequestContext,
        request: AlertsRequest,
    ) -> ApiResult<AlertsResponse> {
        let mut client = self.resource_metrics();
        incoming(context, client.get_alerts(self.outgoing(context, request))).await
    }
}
