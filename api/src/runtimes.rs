//! Runtimes of the K8s manager, in addition to the contract: the place of a scheduler's rooms with the rights in it.

use async_trait::async_trait;

use crate::codec::messages::runtime::{Request, Response, RuntimeStatusResponse};
use crate::{ApiResult, RequestContext};

/// Creates runtimes, and says how far they are.
#[async_trait]
pub trait RuntimeApi: Send + Sync + 'static {
    /// Orders a runtime to be made, and waits for it: as long as the message says, or else as long as the call may
    /// take. The operation goes on when that time is over. Can be repeated.
    async fn create(&self, context: &RequestContext, request: Request) -> ApiResult<Response>;

    /// How far a runtime is. Waits until it is ready or has failed: as long as the message says, or else five minutes
    /// or as long as the call may take; then it answers what is the case.
    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<RuntimeStatusResponse>;
}
