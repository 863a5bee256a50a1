//! What the actors of all nodes are doing, in one document (`docs/debug-actors.schema.json`).

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use maestro_actors::Node;
use maestro_core::ports::Member;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::way::Peers;
use crate::codec::messages::GetActorsRequest;
use crate::{ApiResult, RequestContext, Status};

/// How long another node may take. The view is for times of trouble, and must not wait for the node that causes it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// The view of one node. Its actors stay as that node wrote them, which may be of another version.
#[derive(Deserialize)]
struct View<'a> {
    #[serde(borrow)]
    at: &'a RawValue,
    #[serde(borrow)]
    store: Option<&'a RawValue>,
    #[serde(borrow)]
    actors: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct All<'a> {
    at: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'a RawValue>,
    /// Those of this node first.
    actors: Vec<Box<RawValue>>,
    nodes: Vec<NodeView<'a>>,
}

/// A node of the cluster.
#[derive(Serialize)]
struct NodeView<'a> {
    name: &'a str,
    address: &'a str,
    /// Why its actors are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Adds the actors of the other nodes to the view of this one. With no other node, it stays as it is.
pub async fn of_all(
    node: &Node,
    peers: &dyn Peers,
    context: &RequestContext,
    scheduler: Option<String>,
    view: String,
) -> ApiResult<String> {
    let (me, members) = (node.myself(), node.members());
    let others: Vec<&Member> = members.iter().filter(|m| m.session != me.session).collect();
    if others.is_empty() {
        return Ok(view);
    }
    let asked = others
        .iter()
        .map(|member| ask(peers, context, member, &scheduler));
    let views = join_all(asked).await;
    let answers = [(&me, Ok(view))]
        .into_iter()
        .chain(others.into_iter().zip(views));
    let answers: Vec<(&Member, Result<String, String>)> = answers.collect();
    merged(&answers).map_err(|error| Status::internal(error.to_string()))
}

/// # Errors
/// Why there is no answer.
async fn ask(
    peers: &dyn Peers,
    context: &RequestContext,
    member: &Member,
    scheduler: &Option<String>,
) -> Result<String, String> {
    if member.address.is_empty() {
        return Err("it takes no calls of other nodes: set cluster.listen there".to_owned());
    }
    let end = Instant::now() + ANSWERED_WITHIN;
    let context = RequestContext {
        deadline: Some(context.deadline.map_or(end, |deadline| deadline.min(end))),
        ..context.clone()
    };
    let request = GetActorsRequest {
        scheduler_name: scheduler.clone(),
    };
    let answer = async {
        let apis = peers.at(&member.address)?;
        apis.operator.get_actors(&context, request).await
    };
    match answer.await {
        Ok(answer) => Ok(answer.view),
        Err(_) if context.expired() => Err(format!("it did not answer within {ANSWERED_WITHIN:?}")),
        Err(status) => Err(status.message),
    }
}

fn merged(answers: &[(&Member, Result<String, String>)]) -> serde_json::Result<String> {
    let (mut all, mut actors, mut nodes) = (None, Vec::new(), Vec::new());
    for (member, answer) in answers {
        let view = match answer {
            Ok(view) => serde_json::from_str::<View<'_>>(view)
                .map_err(|error| format!("its answer is not a view of actors: {error}")),
            Err(why) => Err(why.clone()),
        };
        let error = match view {
            Ok(view) => {
                for actor in &view.actors {
                    actors.push(of_node(&member.name, actor)?);
                }
                all.get_or_insert((view.at, view.store));
                None
            }
            Err(why) => Some(why),
        };
        nodes.push(NodeView {
            name: &member.name,
            address: &member.address,
            error,
        });
    }
    let (at, store) = match all {
        Some(first) => first,
        None => (RawValue::NULL, None),
    };
    serde_json::to_string(&All {
        at,
        store,
        actors,
        nodes,
    })
}

/// An actor with the name of its node as its first member.
fn of_node(node: &str, actor: &RawValue) -> serde_json::Result<Box<RawValue>> {
    let node = serde_json::to_string(node)?;
    match actor.get().trim_start().strip_prefix('{') {
        Some(members) if members.trim_start().starts_with('"') => {
            RawValue::from_string(format!("{{\"node\":{node},{members}"))
        }
        // Not an actor that this version knows: shown as it is.
        _ => Ok(actor.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        Member {
            session: uuid::Uuid::nil(),
            name: name.to_owned(),
            address: format!("{name}:1"),
            hosts: true,
            draining: false,
            runtime_domain: String::new(),
            version: String::new(),
        }
    }

    #[test]
    fn actors_are_shown_with_their_node_and_nodes_with_their_failure() {
        let view = |name: &str| Ok(format!(r#"{{"at":"now","actors":[{{"kind":"{name}"}}]}}"#));
        let members = ["a", "b", "c", "d"].map(member);
        let answers = [
            view("x"),
            Err("it hangs".to_owned()),
            view("y"),
            Ok("?".to_owned()),
        ];
        let answers: Vec<_> = members.iter().zip(answers).collect();
        let all: serde_json::Value = serde_json::from_str(&merged(&answers).unwrap()).unwrap();
        let wanted = serde_json::json!([{"node": "a", "kind": "x"}, {"node": "c", "kind": "y"}]);
        assert_eq!((&all["actors"], &all["at"]), (&wanted, &"now".into()));
        let errors: Vec<_> = all["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| &n["error"])
            .collect();
        assert!(errors[0].is_null() && errors[2].is_null(), "{errors:?}");
        assert_eq!(errors[1], "it hangs");
        assert!(
            errors[3].as_str().unwrap().contains("not a view"),
            "{errors:?}"
        );
    }
}
