//! Calls for operators: each one asks the scheduler's owner, the runtime, or the process itself.

use std::time::Duration;

use async_trait::async_trait;
use maestro_actors::{CallError, Node};
use maestro_core::domain::SchedulerVersion;
use maestro_core::ports::Outage;
use maestro_core::state::{Command, Reply, RoomQuery};

use super::{Backup, live_versions};
use crate::codec::messages::*;
use crate::error::unexpected;
use crate::{ApiResult, Code, OperatorApi, RequestContext, Status, codec, convert};

/// Default number of rooms on a page of a listing.
pub const ROOMS_PER_PAGE: u64 = 100;
/// Maximum number of rooms on a page of a listing.
pub const ROOMS_PER_PAGE_MAX: u64 = 500;
/// Default number of lines of a room's log.
pub const LOG_LINES: u64 = 100;
/// Maximum number of lines of a room's log.
pub const LOG_LINES_MAX: u64 = 10_000;
/// How long the readiness check waits for the store.
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Implements the operator's calls with the actors of a node.
#[derive(Clone)]
pub struct OperatorService {
    node: Node,
    backup: Backup,
}

impl OperatorService {
    /// A service over the actors of this node; `backup` copies its store.
    pub fn new(node: Node, backup: Backup) -> Self {
        Self { node, backup }
    }

    async fn ask(
        &self,
        context: &RequestContext,
        name: &str,
        command: Command,
    ) -> ApiResult<Reply> {
        in_time(context)?;
        super::ask(&self.node, context, name, command).await
    }

    async fn order_rollout(
        &self,
        context: &RequestContext,
        name: &str,
        command: Command,
    ) -> ApiResult<Option<Rollout>> {
        match self.ask(context, name, command).await? {
            Reply::Rollout(view) => Ok(Some(convert::rollout(*view))),
            other => Err(unexpected(&other)),
        }
    }

    async fn order_operation(
        &self,
        context: &RequestContext,
        name: &str,
        command: Command,
    ) -> ApiResult<String> {
        match self.ask(context, name, command).await? {
            Reply::Operation(id) => Ok(id.to_string()),
            other => Err(unexpected(&other)),
        }
    }

    /// Checks that the store answers; `Err` is the reason why it takes no changes.
    async fn store_answers(&self) -> Result<(), String> {
        if let Some(outage) = self.node.outage() {
            let Outage { since, cause } = &*outage;
            return Err(format!(
                "the store takes no changes since {since:.0}: {cause}"
            ));
        }
        let catalog = self.node.catalog();
        let check = catalog.read_within(Some(STORE_ANSWERS_WITHIN), |reads| {
            Box::pin(async move { reads.check().await })
        });
        check.await.map_err(|error| match error {
            CallError::Timeout(_) => "the store does not answer".to_owned(),
            other => other.to_string(),
        })
    }
}

/// Checks that the caller is still waiting, before work begins.
fn in_time(context: &RequestContext) -> ApiResult<()> {
    match context.expired() {
        true => Err(Status::new(
            Code::DeadlineExceeded,
            "context deadline exceeded",
        )),
        false => Ok(()),
    }
}

/// The listing that a request asks for, with the page's number and size.
fn room_query(request: ListRoomsRequest) -> ApiResult<(RoomQuery, u64, u64)> {
    let page = request.page.unwrap_or(1);
    let size = request.per_page.unwrap_or(ROOMS_PER_PAGE);
    if page == 0 || size == 0 || size > ROOMS_PER_PAGE_MAX {
        let text = format!("page starts at 1, perPage is between 1 and {ROOMS_PER_PAGE_MAX}");
        return Err(Status::invalid_argument(text));
    }
    let (status, ended) = match request.status {
        None => (None, false),
        Some(word) => {
            let status = convert::listed_status(&word).map_err(Status::invalid_argument)?;
            (status, status.is_none())
        }
    };
    let query = RoomQuery {
        status,
        ended,
        version: request.version.map(SchedulerVersion::from),
        offset: usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX),
        limit: usize::try_from(size).unwrap_or(usize::MAX),
    };
    Ok((query, page, size))
}

#[async_trait]
impl OperatorApi for OperatorService {
    async fn list_rooms(
        &self,
        context: &RequestContext,
        mut request: ListRoomsRequest,
    ) -> ApiResult<ListRoomsResponse> {
        let name = std::mem::take(&mut request.scheduler_name);
        let (query, page, page_size) = room_query(request)?;
        match self.ask(context, &name, Command::Rooms(query)).await? {
            Reply::Rooms(found) => Ok(ListRoomsResponse {
                page,
                page_size,
                total: found.total as u64,
                rooms: found.rooms.into_iter().map(convert::room_row).collect(),
            }),
            other => Err(unexpected(&other)),
        }
    }

    async fn get_rooms_summary(
        &self,
        context: &RequestContext,
        request: GetRoomsSummaryRequest,
    ) -> ApiResult<GetRoomsSummaryResponse> {
        let command = Command::RoomsSummary;
        match self.ask(context, &request.scheduler_name, command).await? {
            Reply::Summary(summary) => Ok(convert::rooms_summary(*summary)),
            other => Err(unexpected(&other)),
        }
    }

    async fn get_room(
        &self,
        context: &RequestContext,
        request: GetRoomRequest,
    ) -> ApiResult<GetRoomResponse> {
        let (name, room) = (request.scheduler_name, request.room_id);
        let command = Command::Room(room.as_str().into());
        match self.ask(context, &name, command).await? {
            Reply::Room(detail) => {
                let processes = self.node.room_processes(&name, &room);
                Ok(GetRoomResponse {
                    room: Some(convert::room_detail(*detail, processes)),
                })
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn read_room_log(
        &self,
        _: &RequestContext,
        request: ReadRoomLogRequest,
    ) -> ApiResult<ReadRoomLogResponse> {
        let lines = request.tail.unwrap_or(LOG_LINES);
        if lines > LOG_LINES_MAX {
            return Err(Status::invalid_argument(format!(
                "tail is at most {LOG_LINES_MAX}"
            )));
        }
        let (name, room) = (&request.scheduler_name, &request.room_id);
        let lines = self.node.log_tail(name, room, lines as usize).await?;
        Ok(ReadRoomLogResponse { lines })
    }

    async fn get_rollout(
        &self,
        context: &RequestContext,
        request: GetRolloutRequest,
    ) -> ApiResult<GetRolloutResponse> {
        let command = Command::Rollout;
        match self.ask(context, &request.scheduler_name, command).await? {
            Reply::Rollout(view) => Ok(GetRolloutResponse {
                rollout: Some(convert::rollout(*view)),
            }),
            other => Err(unexpected(&other)),
        }
    }

    async fn remove_room(
        &self,
        context: &RequestContext,
        request: RemoveRoomRequest,
    ) -> ApiResult<RemoveRoomResponse> {
        let command = Command::RemoveRoom {
            room: request.room_id.into(),
            force: request.force,
        };
        match self.ask(context, &request.scheduler_name, command).await? {
            Reply::Operation(id) => Ok(RemoveRoomResponse {
                operation_id: Some(id.to_string()),
            }),
            Reply::Done => Ok(RemoveRoomResponse { operation_id: None }),
            other => Err(unexpected(&other)),
        }
    }

    async fn pause_rollout(
        &self,
        context: &RequestContext,
        request: PauseRolloutRequest,
    ) -> ApiResult<PauseRolloutResponse> {
        let ordered = self.order_rollout(context, &request.scheduler_name, Command::PauseRollout);
        Ok(PauseRolloutResponse {
            rollout: ordered.await?,
        })
    }

    async fn resume_rollout(
        &self,
        context: &RequestContext,
        request: ResumeRolloutRequest,
    ) -> ApiResult<ResumeRolloutResponse> {
        let ordered = self.order_rollout(context, &request.scheduler_name, Command::ResumeRollout);
        Ok(ResumeRolloutResponse {
            rollout: ordered.await?,
        })
    }

    async fn abort_rollout(
        &self,
        context: &RequestContext,
        request: AbortRolloutRequest,
    ) -> ApiResult<AbortRolloutResponse> {
        let ordered = self.order_operation(context, &request.scheduler_name, Command::AbortRollout);
        Ok(AbortRolloutResponse {
            operation_id: ordered.await?,
        })
    }

    async fn get_live_versions(
        &self,
        context: &RequestContext,
        request: GetLiveVersionsRequest,
    ) -> ApiResult<GetLiveVersionsResponse> {
        in_time(context)?;
        live_versions::states(&self.node, context, request).await
    }

    async fn get_version_config(
        &self,
        context: &RequestContext,
        request: GetVersionConfigRequest,
    ) -> ApiResult<GetVersionConfigResponse> {
        in_time(context)?;
        live_versions::config(&self.node, context, request).await
    }

    async fn get_actors(
        &self,
        _: &RequestContext,
        request: GetActorsRequest,
    ) -> ApiResult<GetActorsResponse> {
        let view = self.node.debug(request.scheduler_name.as_deref());
        match serde_json::to_string(&view) {
            Ok(view) => Ok(GetActorsResponse { view }),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    async fn get_nodes(
        &self,
        _: &RequestContext,
        request: GetNodesRequest,
    ) -> ApiResult<GetNodesResponse> {
        let view = super::nodes::view(&self.node, request.scheduler_name.as_deref());
        Ok(GetNodesResponse { view: view.await? })
    }

    async fn pause_scheduler(
        &self,
        context: &RequestContext,
        request: PauseSchedulerRequest,
    ) -> ApiResult<PauseSchedulerResponse> {
        let command = Command::SetPaused(true);
        self.ask(context, &request.scheduler_name, command).await?;
        Ok(PauseSchedulerResponse {})
    }

    async fn resume_scheduler(
        &self,
        context: &RequestContext,
        request: ResumeSchedulerRequest,
    ) -> ApiResult<ResumeSchedulerResponse> {
        let command = Command::SetPaused(false);
        self.ask(context, &request.scheduler_name, command).await?;
        Ok(ResumeSchedulerResponse {})
    }

    async fn reload_scheduler(
        &self,
        _: &RequestContext,
        request: ReloadSchedulerRequest,
    ) -> ApiResult<ReloadSchedulerResponse> {
        let name = request.scheduler_name;
        match self.node.reload(&name).await? {
            true => Ok(ReloadSchedulerResponse {}),
            false => Err(Status::not_found(format!("scheduler {name} not found"))),
        }
    }

    async fn run_test_operation(
        &self,
        context: &RequestContext,
        request: RunTestOperationRequest,
    ) -> ApiResult<RunTestOperationResponse> {
        let command = Command::TestOperation {
            sleep_seconds: request.sleep_seconds,
        };
        let ordered = self.order_operation(context, &request.scheduler_name, command);
        Ok(RunTestOperationResponse {
            operation_id: ordered.await?,
        })
    }

    async fn back_up(
        &self,
        _: &RequestContext,
        request: BackUpRequest,
    ) -> ApiResult<BackUpResponse> {
        let done = (self.backup)(request.name).await?;
        let nanos = i64::try_from(done.took.as_nanos()).unwrap_or(i64::MAX);
        Ok(BackUpResponse {
            path: done.path,
            bytes: done.bytes,
            took: Some(codec::Duration::from_nanos(nanos)),
        })
    }

    async fn drain_node(
        &self,
        _: &RequestContext,
        request: DrainNodeRequest,
    ) -> ApiResult<DrainNodeResponse> {
        super::nodes::drain(&self.node, request).await
    }

    async fn get_readiness(
        &self,
        _: &RequestContext,
        request: GetReadinessRequest,
    ) -> ApiResult<GetReadinessResponse> {
        let store = match request.skip_store_check {
            true => Ok(()),
            false => self.store_answers().await,
        };
        let ready = store.and_then(|()| match self.node.directory().is_complete() {
            true => Ok(()),
            false => Err("the schedulers of the store have no owners yet".to_owned()),
        });
        Ok(GetReadinessResponse {
            not_ready_because: ready.err(),
        })
    }
}
