//! Orders about versions, and the watch of their rooms, reach the owner of the scheduler.

use async_trait::async_trait;

use super::by_owner::ByOwner;
use super::metrics::begin_of_stream;
use super::way::{Answer, Call, Way};
use crate::codec::messages::version::{NodeStatusRequest, Request, Response};
use crate::{ApiResult, Apis, NodeWatch, RequestContext, VersionsApi};

/// Implements each order by the owner's. One that names no scheduler is refused by the services of this node.
macro_rules! to_owner {
    ($($rpc:ident)*) => {
        #[async_trait]
        impl<W: Way> VersionsApi for ByOwner<W> {
            $(async fn $rpc(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
                let version = request.version.as_ref();
                let name = version.map(|version| version.namespace.clone());
                let call: Call<Response> = Box::new(move |apis: Apis, context: RequestContext| {
                    let request = request.clone();
                    Box::pin(async move { apis.versions.$rpc(&context, request).await })
                        as Answer<'static, _>
                });
                self.0.route(context, name.unwrap_or_default(), call).await
            })*

            async fn watch_node_status(
                &self,
                context: &RequestContext,
                request: NodeStatusRequest,
            ) -> ApiResult<NodeWatch> {
                let (name, deadline) = (request.namespace.clone(), context.deadline);
                let call: Call<NodeWatch> = Box::new(move |apis: Apis, given: RequestContext| {
                    let request = request.clone();
                    Box::pin(async move {
                        let patience = given.remaining();
                        let context = RequestContext { deadline, ..given };
                        let opened = apis.versions.watch_node_status(&context, request);
                        begin_of_stream(patience, opened).await
                    }) as Answer<'static, _>
                });
                self.0.route(context, name, call).await
            }
        }
    };
}

to_owner! { start stop publish unpublish update_config }
