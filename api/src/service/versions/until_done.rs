//! Answers of orders when their operation has ended, as the K8s manager's own calls are answered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use maestro_core::domain::{OperationRecord, OperationStatus};

use super::order::Subject;
use crate::codec::messages::version::{NodeStatusRequest, Request, Response};
use crate::service::waits::{Waits, end_of_wait, goes_on};
use crate::{ApiResult, Code, NodeWatch, RequestContext, Status, VersionsApi};

/// How long a caller without a deadline waits: longer than any operation takes.
const PATIENCE: Duration = Duration::from_hours(24);

/// Waits for the operations of another implementation.
pub struct UntilDone {
    waits: Waits,
    orders: Arc<dyn VersionsApi>,
}

impl UntilDone {
    /// Waits for what `orders` orders.
    pub fn new(waits: Waits, orders: Arc<dyn VersionsApi>) -> Self {
        Self { waits, orders }
    }

    async fn until_done(
        &self,
        context: &RequestContext,
        subject: ApiResult<Subject>,
        ordered: Response,
    ) -> ApiResult<Response> {
        let scheduler = subject?.scheduler;
        let until = end_of_wait(context, PATIENCE);
        let waited = self
            .waits
            .operation(&scheduler, &ordered.operation_id, until);
        let record = waited.await?;
        outcome(&record, ordered).unwrap_or_else(|| {
            let (code, why) = (Code::DeadlineExceeded, "context deadline exceeded");
            Err(goes_on(code, why, &scheduler, record.id))
        })
    }
}

/// What became of an operation; `None` if it has not ended.
fn outcome(record: &OperationRecord, ordered: Response) -> Option<ApiResult<Response>> {
    let id = record.id;
    let last = || {
        let said = record.history.iter().rev().map(|line| line.event.as_str());
        let mut said = said.filter(|line| *line != "Operation finished");
        said.next().unwrap_or_default().to_owned()
    };
    let ended = |how: &str, why: Option<&str>| {
        let text = format!(
            "operation {id} {how}: {}",
            why.map_or_else(last, str::to_owned)
        );
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
        OperationStatus::Canceled => Some(ended("was canceled", record.cancelation())),
        OperationStatus::Evicted | OperationStatus::Error => {
            Some(ended("failed", record.failure()))
        }
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
    use maestro_core::domain::{Definition, OperationEvent, OperationId, ResumeState};

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
    fn an_outcome_is_what_the_history_says_of_it() {
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
        let rolled_back = [
            "operation execution failed: no room came up",
            "Starting operation rollback",
            "rollback succeeded",
            "Operation finished",
        ];
        let failed = record(OperationStatus::Error, &rolled_back);
        let told = outcome(&failed, Response::default()).expect("it has ended");
        let status = told.expect_err("badly");
        assert_eq!(status.code, Code::Aborted);
        let (text, id) = (&status.message, failed.id);
        assert_eq!(*text, format!("operation {id} failed: no room came up"));
        assert_eq!(status.operation, Some(id.to_string()));
        let canceled = [
            "operation canceled: by a request",
            "Starting operation rollback",
            "rollback succeeded",
            "Operation finished",
        ];
        let canceled = record(OperationStatus::Canceled, &canceled);
        let told = outcome(&canceled, Response::default()).expect("it has ended");
        let text = told.expect_err("not done").message;
        assert_eq!(text, format!("operation {id} was canceled: by a request"));
        let evicted = record(OperationStatus::Evicted, &["there are too many"]);
        let told = outcome(&evicted, Response::default()).expect("it has ended");
        let text = told.expect_err("not done").message;
        assert_eq!(text, format!("operation {id} failed: there are too many"));
        let open = record(OperationStatus::Pending, &[]);
        assert_eq!(outcome(&open, Response::default()), None);
    }
}
