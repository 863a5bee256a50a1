//! Finds the owner of a scheduler, and follows it when it moves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use maestro_actors::{CallError, Location, Node};
use tracing::debug;

use super::way::{Answer, Call, Peers, Way, bounded};
use super::{actors, drain};
use crate::codec::messages::{DrainNodeRequest, DrainNodeResponse};
use crate::{ApiResult, Apis, OwnerHint, RequestContext, Status};

/// How long a call waits for a scheduler to get an owner (decision D37). A hand-over takes less; a caller waits longer
/// by asking again.
const OWNED_WITHIN: Duration = Duration::from_secs(1);
/// Maximum number of other nodes that are asked for one call: the supposed owner, and the one that it names.
const ASKED_MAX: usize = 2;
/// Maximum number of places that are tried for one call, this node included.
const TRIED_MAX: usize = 4;

pub struct Router {
    node: Node,
    local: Apis,
    peers: Arc<dyn Peers>,
}

/// Where a call is made.
#[derive(Clone, PartialEq, Eq)]
enum Place {
    Here,
    At(String),
}

impl Router {
    pub fn new(node: Node, local: Apis, peers: Arc<dyn Peers>) -> Self {
        Self { node, local, peers }
    }

    async fn call<T>(&self, context: &RequestContext, name: &str, call: Call<T>) -> ApiResult<T> {
        // The services have the words for callers that are gone (contract 15.11).
        if context.expired() {
            return call(self.local.clone(), context.clone()).await;
        }
        let owned_by = Instant::now() + OWNED_WITHIN;
        let owned_by = context.deadline.map_or(owned_by, |end| end.min(owned_by));
        let (mut place, mut asked) = (self.owner(name, None, owned_by).await?, 0);
        for _ in 0..TRIED_MAX {
            let answer = match &place {
                Place::Here => call(self.local.clone(), context.clone()).await,
                Place::At(_) if asked == ASKED_MAX => break,
                Place::At(address) => {
                    asked += 1;
                    call(self.peers.at(address)?, bounded(context)).await
                }
            };
            let hint = match answer {
                Err(Status {
                    owner: Some(hint), ..
                }) => hint,
                answer => return answer,
            };
            debug!(
                scheduler_name = name,
                ?hint,
                "the owner is not where it was"
            );
            place = match hint {
                OwnerHint::At(address) if self.is_another_member(&address) => Place::At(address),
                // A node that is not known here yet will be, together with what it owns.
                OwnerHint::At(_) | OwnerHint::Nobody => {
                    self.owner(name, Some(&place), owned_by).await?
                }
            };
        }
        Err(unowned(name))
    }

    /// Where the owner runs. Waits until there is one, elsewhere than at the place where it was not found.
    async fn owner(&self, name: &str, not: Option<&Place>, until: Instant) -> ApiResult<Place> {
        loop {
            // Before the look, so that no change is missed.
            let changed = self.node.directory().changed();
            let place = match self.node.locate(name).await {
                Ok(Some(Location::Remote(holder))) if holder.address.is_empty() => {
                    let text = format!(
                        "scheduler {name} is owned by a node that takes no calls of others: set cluster.listen there"
                    );
                    return Err(Status::unavailable(text));
                }
                Ok(Some(Location::Remote(holder))) => Some(Place::At(holder.address)),
                Ok(Some(Location::Unowned)) => None,
                // The local services answer for unknown names, and for a store that cannot be read.
                Ok(Some(Location::Local(_)) | None) | Err(_) => Some(Place::Here),
            };
            if let Some(place) = place.filter(|place| Some(place) != not) {
                return Ok(place);
            }
            let until = tokio::time::Instant::from_std(until);
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Err(unowned(name));
            }
        }
    }

    /// Only to nodes that the store knows: another one may be anybody.
    fn is_another_member(&self, address: &str) -> bool {
        let members = self.node.members();
        address != self.node.myself().address && members.iter().any(|m| m.address == address)
    }
}

fn unowned(name: &str) -> Status {
    Status {
        owner: None,
        ..CallError::Unowned(name.to_owned()).into()
    }
}

impl Way for Router {
    const ANSWERS_ROOMS: bool = true;

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
        Box::pin(async move { self.call(context, &name, call).await })
    }

    fn drain<'f>(
        &'f self,
        context: &'f RequestContext,
        request: DrainNodeRequest,
    ) -> Answer<'f, DrainNodeResponse> {
        Box::pin(drain::passed_on(
            &self.node,
            &self.local,
            &*self.peers,
            context,
            request,
        ))
    }

    fn with_other_actors<'f>(
        &'f self,
        context: &'f RequestContext,
        scheduler: Option<String>,
        view: String,
    ) -> Answer<'f, String> {
        Box::pin(actors::of_all(
            &self.node,
            &*self.peers,
            context,
            scheduler,
            view,
        ))
    }
}
