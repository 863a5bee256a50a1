//! Runtimes: ordered from the owner of their name, and looked at where that makes them.

mod looks;
mod until_done;

use std::time::Duration;

use async_trait::async_trait;
use maestro_actors::Node;
use maestro_core::domain::{OperationId, OperationStatus};
use maestro_core::ports::RuntimeCondition;
use maestro_core::rules::validation::valid_name;
use maestro_core::state::{Command, Reply, RuntimeView};

use super::ask;
use crate::codec::messages::runtime::{Request, Response, RuntimeStatusResponse};
use crate::error::unexpected;
use crate::runtimes::runtime_name;
use crate::{ApiResult, Code, RequestContext, RuntimeApi, Status};
pub use until_done::RuntimesUntilDone;

const CREATING: &str = "CREATING";
const STARTED: &str = "STARTED";
const ERROR: &str = "ERROR";

/// Runtimes of the schedulers that this node owns. Waits for nothing: see [`RuntimesUntilDone`].
pub struct RuntimesService {
    node: Node,
    /// `runtime.statusTimeout`
    status_timeout: Duration,
}

impl RuntimesService {
    /// `status_timeout`: a runtime that is not ready this long after it was made has failed.
    pub fn new(node: Node, status_timeout: Duration) -> Self {
        Self {
            node,
            status_timeout,
        }
    }

    /// An owner that ends, because nothing is left under its name, may take the order with it. The order can be
    /// repeated, and is given to a new owner then.
    async fn order(&self, context: &RequestContext, name: &str) -> ApiResult<OperationId> {
        let mut answer = ask(&self.node, context, name, Command::CreateRuntime).await;
        if answer
            .as_ref()
            .is_err_and(|told| told.code == Code::NotFound)
        {
            answer = ask(&self.node, context, name, Command::CreateRuntime).await;
        }
        match answer? {
            Reply::Operation(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    async fn look(&self, context: &RequestContext, name: &str) -> ApiResult<RuntimeStatusResponse> {
        let view = match ask(&self.node, context, name, Command::Runtime).await? {
            Reply::Runtime(view) => view,
            other => return Err(unexpected(&other)),
        };
        let record = match view {
            RuntimeView {
                creating: None,
                record: Some(record),
            } => record,
            RuntimeView { creating, .. } => {
                let text = creating.map_or_else(
                    || "it is being made".to_owned(),
                    |id| format!("operation {id} makes it"),
                );
                return Ok(told(CREATING, vec![text]));
            }
        };
        if !record.failure.is_empty() {
            let text = format!("it was not made: {}", record.failure);
            return Ok(told(ERROR, vec![text]));
        }
        let conditions = self.node.runtime_status(name).await??;
        let is_ready = conditions.iter().all(|condition| condition.holds);
        let waited = self.node.since(record.made_at);
        let status = match (is_ready, waited >= self.status_timeout) {
            (true, _) => STARTED,
            (false, false) => CREATING,
            (false, true) => ERROR,
        };
        Ok(told(status, conditions.iter().map(sentence).collect()))
    }
}

#[async_trait]
impl RuntimeApi for RuntimesService {
    async fn create(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let name = named(&request)?;
        let id = self.order(context, &name).await?;
        Ok(ordered(&name, id, OperationStatus::Pending))
    }

    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<RuntimeStatusResponse> {
        let name = named(&request)?;
        self.look(context, &name).await
    }
}

fn told(status: &str, conditions: Vec<String>) -> RuntimeStatusResponse {
    RuntimeStatusResponse {
        Status: status.to_owned(),
        conditions,
    }
}

fn sentence(condition: &RuntimeCondition) -> String {
    let mark = if condition.holds { "" } else { "not ready: " };
    format!("{}: {mark}{}", condition.name, condition.text)
}

fn ordered(name: &str, id: OperationId, status: OperationStatus) -> Response {
    Response {
        message: format!("operation {id} creates the runtime {name}"),
        operation_id: id.to_string(),
        status: status.as_str().to_owned(),
    }
}

/// The name of a runtime, which an object of Kubernetes can have.
fn named(request: &Request) -> ApiResult<String> {
    if request.runtime.is_none() {
        return Err(Status::invalid_argument("no `runtime` is given"));
    }
    let name = runtime_name(request);
    match valid_name(name) {
        true => Ok(name.to_owned()),
        false => Err(Status::invalid_argument(format!(
            "{name:?} is no name of a namespace: use at most 63 lowercase letters, digits and '-', which is neither \
             first nor last"
        ))),
    }
}
