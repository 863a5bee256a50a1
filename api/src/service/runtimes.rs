//! Runtimes: ordered from the owner of their name, and looked at where that makes them.

use std::time::Duration;

use async_trait::async_trait;
use maestro_actors::Node;
use maestro_core::domain::{Definition, OperationId, OperationRecord, OperationStatus};
use maestro_core::ports::{PlatformError, RuntimeCondition};
use maestro_core::rules::validation::valid_name;
use maestro_core::state::{Command, Reply, RuntimeView};
use tokio::time::Instant;

use super::ask;
use crate::codec::messages::runtime::{Request, Response, RuntimeStatusResponse};
use crate::error::unexpected;
use crate::{ApiResult, Code, RequestContext, RuntimeApi, Status};

/// How long a status waits without being told.
const STATUS_MAX: Duration = Duration::from_secs(300);
/// How long a creation waits for its operation without being told.
const CREATION_MAX: Duration = Duration::from_secs(300);
/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// The answer leaves this long before the caller stops waiting.
const MARGIN: Duration = Duration::from_millis(200);

const CREATING: &str = "CREATING";
const STARTED: &str = "STARTED";
const ERROR: &str = "ERROR";

/// Runtimes of the schedulers that this node owns.
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
        if request.wait_seconds < 0 {
            return Ok(ordered(&name, id, OperationStatus::Pending));
        }
        let until = until(context, &request, CREATION_MAX);
        let record = self.node.await_operation(&name, id, until).await?;
        match record.status {
            OperationStatus::Finished => Ok(Response {
                message: format!("runtime {name} is created"),
                operation_id: id.to_string(),
                status: record.status.as_str().to_owned(),
            }),
            OperationStatus::Pending | OperationStatus::InProgress if request.wait_seconds > 0 => {
                Ok(ordered(&name, id, record.status))
            }
            OperationStatus::Pending | OperationStatus::InProgress => Err(Status {
                operation: Some(id.to_string()),
                ..Status::new(
                    Code::DeadlineExceeded,
                    format!("runtime {name} is not created yet: operation {id} goes on"),
                )
            }),
            _ => Err(failed(&name, &record)),
        }
    }

    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<RuntimeStatusResponse> {
        let name = named(&request)?;
        let until = until(context, &request, STATUS_MAX);
        loop {
            let seen = self.look(context, &name).await?;
            let next = Instant::now() + LOOK;
            if seen.Status != CREATING || next >= until {
                return Ok(seen);
            }
            tokio::time::sleep_until(next).await;
        }
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

/// Why its operation did not make a runtime.
fn failed(name: &str, record: &OperationRecord) -> Status {
    Status {
        operation: Some(record.id.to_string()),
        ..reason(name, record)
    }
}

fn reason(name: &str, record: &OperationRecord) -> Status {
    if record.status == OperationStatus::Canceled {
        let text = format!("the creation of runtime {name} was canceled");
        return Status::new(Code::Aborted, text);
    }
    let why = record.failure().unwrap_or("it failed");
    let text = format!("{why} (operation {})", record.id);
    match record.definition {
        Definition::CreateRuntime { fault: Some(fault) } => PlatformError::new(fault, text).into(),
        _ => Status::internal(text),
    }
}

/// The name of a runtime, which an object of Kubernetes can have.
fn named(request: &Request) -> ApiResult<String> {
    let Some(runtime) = &request.runtime else {
        return Err(Status::invalid_argument("no `runtime` is given"));
    };
    let name = match runtime.namespace.is_empty() {
        true => &runtime.name,
        false => &runtime.namespace,
    };
    match valid_name(name) {
        true => Ok(name.clone()),
        false => Err(Status::invalid_argument(format!(
            "{name:?} is no name of a namespace: use at most 63 lowercase letters, digits and '-', which is neither \
             first nor last"
        ))),
    }
}

/// Until when a call waits.
fn until(context: &RequestContext, request: &Request, most: Duration) -> Instant {
    let asked = match request.wait_seconds {
        0 => most,
        seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    };
    let left = context.remaining().map(|left| {
        let margin = MARGIN.min(left / 4);
        left.saturating_sub(margin)
    });
    Instant::now() + left.map_or(asked, |left| left.min(asked))
}
