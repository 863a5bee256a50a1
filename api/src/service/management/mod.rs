//! The management API (contract 2.4): checks the request, asks the owner or reads the store, and words the answer.

mod listing;
mod operations;

use std::sync::Arc;

use async_trait::async_trait;
use maestro_actors::{Node, Query};
use maestro_core::domain::{OperationId, Scheduler};
use maestro_core::ports::{Reads, SchedulerFilter};
use maestro_core::rules::validation;
use maestro_core::state::{Command, Reply};

use super::late::{Doing, in_time};
use crate::access_log::about_scheduler;
use crate::codec::messages::*;
use crate::error::unexpected;
use crate::{ApiResult, Code, ManagementApi, RequestContext, Status, convert};

/// Implements the management API with the actors of a node.
#[derive(Clone)]
pub struct ManagementService {
    node: Node,
}

impl ManagementService {
    /// A service over the actors of this node.
    pub fn new(node: Node) -> Self {
        Self { node }
    }

    async fn ask(
        &self,
        context: &RequestContext,
        name: &str,
        command: Command,
    ) -> ApiResult<Reply> {
        in_time(context, Doing::Other)?;
        crate::service::ask(&self.node, context, name, command).await
    }

    /// Sends a command that becomes an operation, and returns the operation's id.
    async fn order(
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

    async fn read<T: Send + 'static>(
        &self,
        context: &RequestContext,
        query: impl FnOnce(Arc<dyn Reads>) -> Query<T> + Send + 'static,
    ) -> ApiResult<T> {
        in_time(context, Doing::Other)?;
        let catalog = self.node.catalog();
        Ok(catalog.read_within(context.remaining(), query).await?)
    }
}

fn scheduler_not_found(name: &str) -> Status {
    Status::not_found(format!("scheduler {name} not found"))
}

fn operation_not_found(id: &str, scheduler: &str) -> Status {
    Status::not_found(format!("operation {id} not found in scheduler {scheduler}"))
}

/// Ids are compared as text: another spelling of the same UUID is another id.
fn operation_id(text: &str) -> Option<OperationId> {
    let id: OperationId = text.parse().ok()?;
    (id.to_string() == text).then_some(id)
}

#[async_trait]
impl ManagementApi for ManagementService {
    async fn create_scheduler(
        &self,
        context: &RequestContext,
        request: CreateSchedulerRequest,
    ) -> ApiResult<CreateSchedulerResponse> {
        about_scheduler(&request.name);
        let scheduler = convert::to_domain(request)?;
        validation::validate_new(&scheduler)?;
        let name = scheduler.name.clone();
        in_time(context, Doing::CreatingScheduler(name.as_str()))?;
        let command = Command::CreateScheduler(Box::new(scheduler));
        match self.ask(context, name.as_str(), command).await? {
            Reply::Scheduler(scheduler) => Ok(CreateSchedulerResponse {
                scheduler: Some(convert::scheduler(&scheduler)),
            }),
            other => Err(unexpected(&other)),
        }
    }

    async fn list_schedulers(
        &self,
        context: &RequestContext,
        request: ListSchedulersRequest,
    ) -> ApiResult<ListSchedulersResponse> {
        in_time(context, Doing::GettingSchedulers)?;
        let filter = SchedulerFilter {
            name: request.name,
            game: request.game,
            version: request.version,
        };
        let found = self
            .read(context, |reads| {
                Box::pin(async move { reads.schedulers(&filter).await })
            })
            .await?;
        Ok(ListSchedulersResponse {
            schedulers: found.iter().map(|s| convert::without_spec(s)).collect(),
        })
    }

    async fn get_schedulers_info(
        &self,
        context: &RequestContext,
        request: GetSchedulersInfoRequest,
    ) -> ApiResult<GetSchedulersInfoResponse> {
        in_time(context, Doing::GettingSchedulers)?;
        let filter = SchedulerFilter {
            game: request.game,
            ..SchedulerFilter::default()
        };
        let schedulers = self
            .read(context, |reads| {
                Box::pin(async move {
                    let schedulers = reads.schedulers(&filter).await?;
                    let names: Vec<&str> = schedulers.iter().map(|s| s.name.as_str()).collect();
                    let rooms = reads.room_counts(&names).await?;
                    let both = schedulers.iter().zip(rooms);
                    Ok(both
                        .map(|(scheduler, rooms)| convert::info(scheduler, rooms))
                        .collect())
                })
            })
            .await?;
        Ok(GetSchedulersInfoResponse { schedulers })
    }

    async fn get_scheduler(
        &self,
        context: &RequestContext,
        request: GetSchedulerRequest,
    ) -> ApiResult<GetSchedulerResponse> {
        let GetSchedulerRequest {
            scheduler_name: name,
            version,
        } = request;
        in_time(context, Doing::GettingScheduler(&name, &version))?;
        let wanted = name.clone();
        let found: Option<Arc<Scheduler>> = self
            .read(context, |reads| {
                Box::pin(async move {
                    match version.as_str() {
                        "" => reads.scheduler(&wanted).await,
                        version => reads.scheduler_version(&wanted, version).await,
                    }
                })
            })
            .await?;
        let scheduler = found.ok_or_else(|| scheduler_not_found(&name))?;
        Ok(GetSchedulerResponse {
            scheduler: Some(convert::scheduler(&scheduler)),
        })
    }

    async fn new_scheduler_version(
        &self,
        context: &RequestContext,
        request: NewSchedulerVersionRequest,
    ) -> ApiResult<NewSchedulerVersionResponse> {
        let scheduler = convert::to_domain(request)?;
        validation::validate_new_version(&scheduler)?;
        let name = scheduler.name.clone();
        let command = Command::NewVersion(Box::new(scheduler));
        let operation_id = self.order(context, name.as_str(), command).await?;
        Ok(NewSchedulerVersionResponse { operation_id })
    }

    async fn patch_scheduler(
        &self,
        context: &RequestContext,
        request: PatchSchedulerRequest,
    ) -> ApiResult<PatchSchedulerResponse> {
        let name = request.name.clone();
        let patch = convert::patch(request)?;
        if patch.is_empty() {
            let message = format!("no change found to scheduler {name}");
            return Err(Status::new(Code::AlreadyExists, message));
        }
        let command = Command::Patch(Box::new(patch));
        let operation_id = self.order(context, &name, command).await?;
        Ok(PatchSchedulerResponse { operation_id })
    }

    async fn switch_active_version(
        &self,
        context: &RequestContext,
        request: SwitchActiveVersionRequest,
    ) -> ApiResult<SwitchActiveVersionResponse> {
        let command = Command::SwitchVersion(request.version.into());
        let operation_id = self
            .order(context, &request.scheduler_name, command)
            .await?;
        Ok(SwitchActiveVersionResponse { operation_id })
    }

    async fn delete_scheduler(
        &self,
        context: &RequestContext,
        request: DeleteSchedulerRequest,
    ) -> ApiResult<DeleteSchedulerResponse> {
        let operation_id = self
            .order(context, &request.scheduler_name, Command::DeleteScheduler)
            .await?;
        Ok(DeleteSchedulerResponse { operation_id })
    }

    async fn get_scheduler_versions(
        &self,
        context: &RequestContext,
        request: GetSchedulerVersionsRequest,
    ) -> ApiResult<GetSchedulerVersionsResponse> {
        in_time(context, Doing::GettingVersions(&request.scheduler_name))?;
        let name = request.scheduler_name.clone();
        let (rows, active) = self
            .read(context, |reads| {
                Box::pin(async move {
                    let rows = reads.versions(&name).await?;
                    Ok((rows, reads.scheduler(&name).await?))
                })
            })
            .await?;
        if rows.is_empty() {
            return Err(scheduler_not_found(&request.scheduler_name));
        }
        let active = active.map(|s| s.version().clone()).unwrap_or_default();
        Ok(GetSchedulerVersionsResponse {
            versions: convert::versions(&rows, &active),
        })
    }

    async fn add_rooms(
        &self,
        context: &RequestContext,
        request: AddRoomsRequest,
    ) -> ApiResult<AddRoomsResponse> {
        let command = Command::AddRooms {
            amount: request.amount,
            version: None,
        };
        let operation_id = self
            .order(context, &request.scheduler_name, command)
            .await?;
        Ok(AddRoomsResponse { operation_id })
    }

    async fn remove_rooms(
        &self,
        context: &RequestContext,
        request: RemoveRoomsRequest,
    ) -> ApiResult<RemoveRoomsResponse> {
        let command = Command::RemoveRooms {
            amount: request.amount,
            force: request.force,
            version: None,
        };
        let operation_id = self
            .order(context, &request.scheduler_name, command)
            .await?;
        Ok(RemoveRoomsResponse { operation_id })
    }

    async fn list_operations(
        &self,
        context: &RequestContext,
        request: ListOperationsRequest,
    ) -> ApiResult<ListOperationsResponse> {
        self.operations(context, request).await
    }

    async fn get_operation(
        &self,
        context: &RequestContext,
        request: GetOperationRequest,
    ) -> ApiResult<GetOperationResponse> {
        self.operation(context, &request.scheduler_name, &request.operation_id)
            .await
    }

    async fn cancel_operation(
        &self,
        context: &RequestContext,
        request: CancelOperationRequest,
    ) -> ApiResult<CancelOperationResponse> {
        self.cancel(context, &request.scheduler_name, &request.operation_id)
            .await
    }
}
