//! Answers to other nodes: only what this node owns.

use maestro_actors::{CallError, Location, Node};

use super::way::{Answer, Call, Way};
use crate::codec::messages::{DrainNodeRequest, DrainNodeResponse};
use crate::{Apis, RequestContext};

pub struct Owned {
    node: Node,
    local: Apis,
}

impl Owned {
    pub fn new(node: Node, local: Apis) -> Self {
        Self { node, local }
    }
}

impl Way for Owned {
    const ANSWERS_ROOMS: bool = false;

    fn node(&self) -> &Node {
        &self.node
    }
    fn local(&self) -> &Apis {
        &self.local
    }

    fn route<'f, T: Send + 'static>(
        &'f self,
        context: &'f RequestContext,
        name: String,
        call: Call<T>,
    ) -> Answer<'f, T> {
        Box::pin(async move {
            match self.node.locate(&name).await {
                Ok(Some(Location::Remote(holder))) => {
                    let address = holder.address;
                    Err(CallError::Elsewhere { name, address }.into())
                }
                Ok(Some(Location::Unowned)) => Err(CallError::Unowned(name).into()),
                // The local services answer for unknown names, and for a store that cannot be read.
                Ok(Some(Location::Local(_)) | None) | Err(_) => {
                    call(self.local.clone(), context.clone()).await
                }
            }
        })
    }

    /// Passed on once already: the services refuse if another node is meant.
    fn drain<'f>(
        &'f self,
        context: &'f RequestContext,
        request: DrainNodeRequest,
    ) -> Answer<'f, DrainNodeResponse> {
        self.local.operator.drain_node(context, request)
    }

    fn with_other_actors<'f>(
        &'f self,
        _: &'f RequestContext,
        _: Option<String>,
        view: String,
    ) -> Answer<'f, String> {
        Box::pin(std::future::ready(Ok(view)))
    }
}
