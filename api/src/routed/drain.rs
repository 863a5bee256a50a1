//! An order to drain a node reaches that node, which alone carries it out.

use maestro_actors::Node;
use maestro_core::ports::Member;

use super::way::{Peers, bounded};
use crate::codec::messages::{DrainNodeRequest, DrainNodeResponse};
use crate::service::no_such_node;
use crate::{ApiResult, Apis, Code, RequestContext, Status};

/// To the node that the request names: this one, or another one at its address for other nodes.
///
/// # Errors
/// If no node is meant, or several; and those of that node.
pub async fn passed_on(
    node: &Node,
    local: &Apis,
    peers: &dyn Peers,
    context: &RequestContext,
    request: DrainNodeRequest,
) -> ApiResult<DrainNodeResponse> {
    let (me, members) = (node.myself(), node.members());
    let found = named(&request.node, &me, &members)?;
    let request = DrainNodeRequest {
        node: found.session.to_string(),
        ..request
    };
    if found.session == me.session {
        return local.operator.drain_node(context, request).await;
    }
    if found.address.is_empty() {
        let text = format!(
            "{} takes no calls of other nodes: ask that node itself, or set cluster.listen there",
            found.name
        );
        return Err(Status::unavailable(text));
    }
    let apis = peers.at(&found.address)?;
    apis.operator.drain_node(&bounded(context), request).await
}

/// The node that a name, a session or an address means; none of them means this one.
fn named<'m>(node: &str, me: &'m Member, members: &'m [Member]) -> ApiResult<&'m Member> {
    if node.is_empty() {
        return Ok(me);
    }
    let is_meant = |m: &&Member| {
        let empty = m.address.is_empty();
        m.session.to_string() == node || m.name == node || (!empty && m.address == node)
    };
    let found: Vec<&Member> = members.iter().filter(is_meant).collect();
    match found[..] {
        [one] => Ok(one),
        [] => Err(no_such_node(node)),
        _ => {
            let sessions: Vec<_> = found.iter().map(|m| m.session.to_string()).collect();
            let text = format!(
                "several nodes have the name {node:?}: name one of the sessions {}",
                sessions.join(", ")
            );
            Err(Status::new(Code::FailedPrecondition, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn member(n: u128, name: &str) -> Member {
        Member {
            session: Uuid::from_u128(n),
            name: name.to_owned(),
            address: format!("10.0.0.{n}:1"),
            hosts: true,
            draining: false,
            runtime_domain: String::new(),
            version: String::new(),
        }
    }

    #[test]
    fn a_node_is_named_in_three_ways_and_never_guessed() {
        let members = [member(1, "a"), member(2, "b"), member(3, "b")];
        let session = |node: &str| named(node, &members[0], &members).map(|m| m.session.as_u128());
        let third = members[2].session.to_string();
        for (node, expected) in [("", 1), ("a", 1), ("10.0.0.2:1", 2), (third.as_str(), 3)] {
            assert_eq!(session(node), Ok(expected), "{node}");
        }
        assert_eq!(session("c").unwrap_err().code, Code::NotFound);
        let several = session("b").unwrap_err();
        assert_eq!(several.code, Code::FailedPrecondition);
        assert!(several.message.contains(&third), "{several:?}");
    }
}
