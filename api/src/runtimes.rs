//! Runtimes of the K8s manager, in addition to the contract: the place of a scheduler's rooms with the rights in it.

use async_trait::async_trait;

use crate::codec::messages::runtime::{Request, Response, RuntimeStatusResponse};
use crate::{ApiResult, RequestContext};

/// Creates runtimes, and says how far they are. The owner of a name answers at once; behind
/// [`crate::RuntimesUntilDone`] a call waits: as long as its message says, or else until its caller's deadline, or
/// five minutes if it has none.
#[async_trait]
pub trait RuntimeApi: Send + Sync + 'static {
    /// Orders a runtime to be made, and waits for it. The operation goes on when that time is over. Can be repeated.
    async fn create(&self, context: &RequestContext, request: Request) -> ApiResult<Response>;

    /// How far a runtime is. Waits until it is ready or has failed, and answers what is the case when that time is
    /// over.
    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<RuntimeStatusResponse>;
}

/// The name that a message is about: the namespace, or else the name. An empty one is refused by whoever answers.
pub fn runtime_name(request: &Request) -> &str {
    let runtime = request.runtime.as_ref();
    runtime.map_or("", |runtime| match runtime.namespace.is_empty() {
        true => &runtime.name,
        false => &runtime.namespace,
    })
}
