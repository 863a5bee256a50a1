//! Calls about runtimes.

use maestro_api::codec::messages::runtime::{Request, Response, RuntimeStatusResponse};
use maestro_api::{ApiResult, RequestContext, RuntimeApi};

use super::{ANSWER_MAX, GrpcClient, incoming};
use crate::api::runtime_service_client::RuntimeServiceClient;

impl GrpcClient {
    fn runtimes(&self) -> RuntimeServiceClient<tonic::transport::Channel> {
        let client = RuntimeServiceClient::new(self.channel.clone());
        client.max_decoding_message_size(ANSWER_MAX)
    }
}

#[tonic::async_trait]
impl RuntimeApi for GrpcClient {
    async fn create(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let mut client = self.runtimes();
        incoming(context, client.create(self.outgoing(context, request))).await
    }

    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<RuntimeStatusResponse> {
        let mut client = self.runtimes();
        let answer = client.runtime_status(self.outgoing(context, request));
        incoming(context, answer).await
    }
}
