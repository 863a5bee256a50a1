//! Orders about versions. Another node answers them when their operation is stored, a public server when it has ended.

use futures_util::StreamExt;
use maestro_api::codec::messages::version::{NodeStatusRequest, Request, Response};
use maestro_api::{ApiResult, NodeWatch, RequestContext, VersionsApi};

use super::{ANSWER_MAX, GrpcClient, failure, incoming};
use crate::api::version_service_client::VersionServiceClient;

impl GrpcClient {
    fn versions(&self) -> VersionServiceClient<tonic::transport::Channel> {
        let client = VersionServiceClient::new(self.channel.clone());
        client.max_decoding_message_size(ANSWER_MAX)
    }
}

/// Implements each order by the call of its name.
macro_rules! remote {
    ($($rpc:ident)*) => {
        #[tonic::async_trait]
        impl VersionsApi for GrpcClient {
            $(async fn $rpc(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
                let mut client = self.versions();
                incoming(context, client.$rpc(self.outgoing(context, request))).await
            })*

            async fn watch_node_status(
                &self,
                context: &RequestContext,
                request: NodeStatusRequest,
            ) -> ApiResult<NodeWatch> {
                let mut client = self.versions();
                let opened = client.watch_node_status(self.outgoing(context, request));
                let messages = incoming(context, opened).await?;
                Ok(messages.map(|told| told.map_err(|told| failure(&told))).boxed())
            }
        }
    };
}

remote! { start stop publish unpublish update_config }
