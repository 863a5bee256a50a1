//! What can happen to a call about a scheduler that may be owned elsewhere.

use std::pin::Pin;
use std::time::{Duration, Instant};

use maestro_actors::Node;

use crate::codec::messages::{DrainNodeRequest, DrainNodeResponse};
use crate::{ApiResult, Apis, RequestContext};

/// How long another node may take if the caller has no deadline: longer than any owner needs.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Reaches other nodes. Which nodes there are is known from the store, never from a caller.
pub trait Peers: Send + Sync + 'static {
    /// The calls of the node at this address, made in the name of this node.
    ///
    /// # Errors
    /// If nothing can be called at such an address.
    fn at(&self, address: &str) -> ApiResult<Apis>;
}

/// The outcome of a call, as the traits of the API return it.
pub type Answer<'f, T> = Pin<Box<dyn Future<Output = ApiResult<T>> + Send + 'f>>;
/// A call that can be made on any node, several times if the earlier ones had no effect.
pub type Call<T> = Box<dyn Fn(Apis, RequestContext) -> Answer<'static, T> + Send + Sync>;

/// What happens to calls about schedulers that may be owned elsewhere.
pub trait Way: Send + Sync + 'static {
    /// Whether the answers go to rooms, which read failures in the answer itself (contract 3). Otherwise they go to a
    /// node, which may have to ask another one.
    const ANSWERS_ROOMS: bool;

    fn node(&self) -> &Node;
    /// The services over the actors of this node.
    fn local(&self) -> &Apis;

    fn route<'f, T: Send + 'static>(
        &'f self,
        context: &'f RequestContext,
        name: String,
        call: Call<T>,
    ) -> Answer<'f, T>;

    /// Drains the node that the request names.
    fn drain<'f>(
        &'f self,
        context: &'f RequestContext,
        request: DrainNodeRequest,
    ) -> Answer<'f, DrainNodeResponse>;

    /// What the actors of other nodes are doing, added to the view of this one.
    fn with_other_actors<'f>(
        &'f self,
        context: &'f RequestContext,
        scheduler: Option<String>,
        view: String,
    ) -> Answer<'f, String>;
}

/// A node that hangs holds up no call for ever.
pub fn bounded(context: &RequestContext) -> RequestContext {
    let end = Instant::now() + ANSWERED_WITHIN;
    RequestContext {
        deadline: Some(context.deadline.map_or(end, |deadline| deadline.min(end))),
        ..context.clone()
    }
}
