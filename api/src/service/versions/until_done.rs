//! Answers of orders when their operation has ended, as the K8s manager's own calls are answered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use maestro_actors::Node;
use maestro_core::domain::{OperationId, OperationRecord, OperationStatus};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::order::Subject;
use crate::codec::messages::version::{NodeStatusRequest, Request, Response};
use crate::{ApiResult, Code, NodeWatch, RequestContext, Status, VersionsApi};

/// How long a caller without a deadline waits: longer than any operation takes.
const PATIENCE: Duration = Duration::from_hours(24);
/// A wait ends so long before its caller's deadline: its answer has to be there before the caller stops waiting,
/// because it says which operation goes on.
const AHEAD: Duration = Duration::from_millis(200);

/// Waits for the operations of another implementation. The wait reads the store: it takes no place of an owner, and
/// needs none on this node.
pub struct UntilDone {
    node: Node,
    orders: Arc<dyn VersionsApi>,
    stop: CancellationToken,
}

impl UntilDone {
    /// Waits for what `orders` orders.
    pub fn new(node: Node, orders: Arc<dyn VersionsApi>) -> Self {
        Self {
            node,
            orders,
            stop: CancellationToken::new(),
        }
    }

    /// Answers all calls that wait.
    pub fn close(&self) {
        self.stop.cancel();
    }

    async fn until_done(
        &self,
        context: &RequestContext,
        subject: ApiResult<Subject>,
        ordered: Response,
    ) -> ApiResult<Response> {
        let Ok(id) = ordered.operation_id.parse::<OperationId>() else {
            tracing::error!(id = ordered.operation_id, "an order has no operation");
            return Err(Status::internal("internal error"));
        };
        let scheduler = subject?.scheduler;
        let patience = context.remaining().map_or(PATIENCE, patience);
        let waiting = self
            .node
            .await_operation(&scheduler, id, Instant::now() + patience);
        let goes_on = |code, why| going_on(code, &scheduler, id, why);
        let Some(seen) = self.stop.run_until_cancelled(waiting).await else {
            return Err(goes_on(Code::Unavailable, "this node is shutting down"));
        };
        match seen {
            Ok(record) => outcome(&record, ordered).unwrap_or_else(|| {
                Err(goes_on(Code::DeadlineExceeded, "context deadline exceeded"))
            }),
            Err(error) => Err(Status {
                operation: Some(id.to_string()),
                ..error.into()
            }),
        }
    }
}

fn patience(remaining: Duration) -> Duration {
    remaining.saturating_sub(AHEAD.min(remaining / 4))
}

fn going_on(code: Code, scheduler: &str, id: OperationId, why: &str) -> Status {
    let text = format!(
        "{why}: operation {id} of scheduler {scheduler} goes on; read it at /schedulers/{scheduler}/operations/{id}, or \
         cancel it there"
    );
    Status {
        operation: Some(id.to_string()),
        ..Status::new(code, text)
    }
}

/// What became of an operation; `None` if it has not ended.
fn outcome(record: &OperationRecord, ordered: Response) -> Option<ApiResult<Response>> {
    let id = record.id;
    let last = || {
        let said = record.history.iter().rev().map(|line| line.event.as_str());
        let said = said.filter(|line| *line != "Operation finished");
        said.map(str::to_owned).next().unwrap_or_default()
    };
    let failed = |how: &str| {
        let text = format!("operation {id} {how}: {}", last());
        Err(Status {
            operation: Some(id.to_string()),
            ..Status::new(Code::Aborted, text)
        })
    };
    match record.status {
        OperationStatus::Pending | OperationStatus::InProgress => None,
        OperationStatus::Finished => Some(Ok(Response {
            message: last(),
            ..ordered
        })),
        OperationStatus::Canceled => Some(failed("was canceled")),
        OperationStatus::Evicted | OperationStatus::Error => Some(failed("failed")),
    }
}

/// Implements each order by another one and a wait.
macro_rules! until_done {
    ($($rpc:ident)*) => {
        #[async_trait]
        impl VersionsApi for UntilDone {
            $(async fn $rpc(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
                let subject = Subject::of(&request);
                let ordered = self.orders.$rpc(context, request).await?;
                self.until_done(context, subject, ordered).await
            })*

            async fn watch_node_status(
                &self,
                context: &RequestContext,
                request: NodeStatusRequest,
            ) -> ApiResult<NodeWatch> {
                self.orders.watch_node_status(context, request).await
            }
        }
    };
}

until_done! { start stop publish unpublish update_config }

#[cfg(test)]
mod tests {
    use super::*;
    use maestro_core::domain::{Definition, OperationEvent, ResumeState};

    fn record(status: OperationStatus, lines: &[&str]) -> OperationRecord {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let line = |event: &&str| OperationEvent {
            created_at: at,
            event: (*event).to_owned(),
        };
        OperationRecord {
            id: OperationId(uuid::Uuid::nil()),
            scheduler: "arena".into(),
            definition: Definition::StartVersion {
                version: "v2.0.0".into(),
            },
            status,
            created_at: at,
            status_at: at,
            history: lines.iter().map(line).collect(),
            priority: false,
            lease_until: None,
            resume: ResumeState::default(),
        }
    }

    #[test]
    fn an_outcome_is_the_last_line_of_its_history() {
        let done = record(
            OperationStatus::Finished,
            &["v2.0.0 is started: 2 rooms are up", "Operation finished"],
        );
        let ordered = Response {
            url: "http://rooms".into(),
            ..Response::default()
        };
        let told = outcome(&done, ordered)
            .expect("it has ended")
            .expect("well");
        assert_eq!(told.message, "v2.0.0 is started: 2 rooms are up");
        assert_eq!(told.url, "http://rooms");
        let failed = record(OperationStatus::Error, &["no room came up"]);
        let told = outcome(&failed, Response::default()).expect("it has ended");
        let status = told.expect_err("badly");
        assert_eq!(status.code, Code::Aborted);
        assert!(status.message.ends_with("failed: no room came up"));
        assert_eq!(status.operation, Some(failed.id.to_string()));
        let open = record(OperationStatus::Pending, &[]);
        assert_eq!(outcome(&open, Response::default()), None);
    }

    #[test]
    fn the_answer_of_a_wait_is_there_before_its_caller_has_gone() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(seconds(10)), seconds(10) - AHEAD);
        assert_eq!(
            patience(Duration::from_millis(40)),
            Duration::from_millis(30)
        );
        assert_eq!(patience(Duration::ZERO), Duration::ZERO);
    }
}
