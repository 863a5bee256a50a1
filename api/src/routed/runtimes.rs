//! Runtimes are made and looked at by the owner of their name.

use async_trait::async_trait;

use super::by_owner::ByOwner;
use super::way::{Answer, Call, Way};
use crate::codec::messages::runtime::{Request, Response, RuntimeStatusResponse};
use crate::runtimes::runtime_name;
use crate::{ApiResult, Apis, RequestContext, RuntimeApi};

#[async_trait]
impl<W: Way> RuntimeApi for ByOwner<W> {
    async fn create(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let name = runtime_name(&request).to_owned();
        let call: Call<Response> = Box::new(move |apis: Apis, context: RequestContext| {
            let request = request.clone();
            Box::pin(async move { apis.runtimes.create(&context, request).await })
                as Answer<'static, _>
        });
        self.0.route(context, name, call).await
    }

    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<RuntimeStatusResponse> {
        let name = runtime_name(&request).to_owned();
        let call: Call<RuntimeStatusResponse> =
            Box::new(move |apis: Apis, context: RequestContext| {
                let request = request.clone();
                Box::pin(async move { apis.runtimes.runtime_status(&context, request).await })
                    as Answer<'static, _>
            });
        self.0.route(context, name, call).await
    }
}
