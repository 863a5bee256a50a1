//! Answers about runtimes when they are made, or ready, as the K8s manager's own calls are answered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use maestro_core::domain::{Definition, OperationRecord, OperationStatus};
use maestro_core::ports::PlatformError;
use tokio::time::Instant;

use super::looks::Looks;
use super::{CREATING, ordered};
use crate::codec::messages::runtime::{Request, Response, RuntimeStatusResponse};
use crate::runtimes::runtime_name;
use crate::service::waits::{Waits, end_of_wait, goes_on};
use crate::{ApiResult, Code, RequestContext, RuntimeApi, Status};

/// How long a caller waits that does not say how long.
const PATIENCE: Duration = Duration::from_secs(300);
/// The pause after the first look.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The last look begins so long before the end of the wait: long enough to look, and too short to miss much.
const LOOK_LAST: Duration = Duration::from_millis(150);

/// Waits for the runtimes of another implementation.
pub struct RuntimesUntilDone {
    waits: Waits,
    orders: Arc<dyn RuntimeApi>,
    looks: Looks,
}

impl RuntimesUntilDone {
    /// Waits for what `orders` orders.
    pub fn new(waits: Waits, orders: Arc<dyn RuntimeApi>) -> Self {
        let looks = Looks::new(orders.clone());
        Self {
            waits,
            orders,
            looks,
        }
    }
}

#[async_trait]
impl RuntimeApi for RuntimesUntilDone {
    async fn create(&self, context: &RequestContext, request: Request) -> ApiResult<Response> {
        let name = runtime_name(&request).to_owned();
        let seconds = request.wait_seconds;
        let answer = self.orders.create(context, request).await?;
        if seconds < 0 {
            return Ok(answer);
        }
        let until = until(context, seconds);
        let waited = self.waits.operation(&name, &answer.operation_id, until);
        let record = waited.await?;
        match record.status {
            OperationStatus::Finished => Ok(Response {
                message: format!("runtime {name} is created"),
                operation_id: answer.operation_id,
                status: record.status.as_str().to_owned(),
            }),
            OperationStatus::Pending | OperationStatus::InProgress if seconds > 0 => {
                Ok(ordered(&name, record.id, record.status))
            }
            OperationStatus::Pending | OperationStatus::InProgress => {
                let why = format!("runtime {name} is not created yet");
                Err(goes_on(Code::DeadlineExceeded, &why, &name, record.id))
            }
            _ => Err(Status {
                operation: Some(answer.operation_id),
                ..failed(&name, &record)
            }),
        }
    }

    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: Request,
    ) -> ApiResult<RuntimeStatusResponse> {
        let look = self.looks.join(runtime_name(&request));
        let mut seen = look.since(context, &request, Instant::now()).await;
        if request.wait_seconds < 0 {
            return seen;
        }
        let until = until(context, request.wait_seconds);
        let left = until.saturating_duration_since(Instant::now());
        let (last, mut pause) = (until - LOOK_LAST.min(left / 4), PAUSE_FIRST);
        loop {
            let now = Instant::now();
            let next = last.min(now + pause);
            if !may_change(&seen) || now >= last || !self.waits.until(next).await {
                return seen;
            }
            // Those that wait together need no look each. The last one is to be news.
            let shared = if next == last { LOOK_LAST } else { pause / 2 };
            let since = Instant::now() - shared.min(pause / 2);
            let again = look.since(context, &request, since);
            match tokio::time::timeout_at(until, again).await {
                Ok(newer) => seen = newer,
                Err(_) => return seen,
            }
            pause = PAUSE_MAX.min(pause * 2);
        }
    }
}

/// Whether a wait may end better than this.
fn may_change(seen: &ApiResult<RuntimeStatusResponse>) -> bool {
    match seen {
        Ok(seen) => seen.Status == CREATING,
        Err(status) => matches!(
            status.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted
        ),
    }
}

/// When the wait of a message ends.
fn until(context: &RequestContext, seconds: i32) -> Instant {
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => end_of_wait(context, PATIENCE),
        Ok(seconds) => {
            let asked = Duration::from_secs(seconds);
            end_of_wait(context, asked).min(Instant::now() + asked)
        }
    }
}

/// Why its operation did not make a runtime.
fn failed(name: &str, record: &OperationRecord) -> Status {
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
