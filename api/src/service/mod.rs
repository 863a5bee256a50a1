//! The services implement the calls by asking the actors of a node. They contain no rules about fleets: those are in
//! `core` and applied by the scheduler's owner.

mod backup;
mod late;
mod live_versions;
mod management;
mod names;
mod nodes;
mod operator;
mod resources;
mod rooms;
mod runtimes;
mod shared_tasks;
mod versions;
mod waits;

use std::sync::Arc;

use maestro_actors::{Node, Order};
use maestro_core::state::{Command, Reply};

use crate::{
    ApiResult, ManagementApi, OperatorApi, RequestContext, ResourceMetricsApi, RoomsApi,
    RuntimeApi, VersionsApi,
};
pub use backup::{Backup, BackupDone, BackupError};
pub use management::ManagementService;
pub(crate) use nodes::no_such_node;
pub use operator::{LOG_LINES, LOG_LINES_MAX, OperatorService, ROOMS_PER_PAGE, ROOMS_PER_PAGE_MAX};
pub use resources::{CpuUnit, ResourceSettings, ResourcesService};
pub use rooms::RoomsService;
pub use runtimes::{RuntimesService, RuntimesUntilDone};
pub use versions::{UntilDone, VersionsService};
pub use waits::Waits;

/// Asks the owner of a scheduler on behalf of a request; an operation that it orders carries the request's id.
async fn ask(
    node: &Node,
    context: &RequestContext,
    name: &str,
    command: Command,
) -> ApiResult<Reply> {
    let order = Order {
        command,
        request: Some(context.request_id.as_str().into()),
    };
    Ok(node.ask(name, order, context.remaining()).await?)
}

/// All APIs of a node, as the transports serve them.
#[derive(Clone)]
pub struct Apis {
    /// Schedulers and their operations.
    pub management: Arc<dyn ManagementApi>,
    /// Pings, events and allocation.
    pub rooms: Arc<dyn RoomsApi>,
    /// Calls for operators, in addition to the contract.
    pub operator: Arc<dyn OperatorApi>,
    /// What the rooms of a version use.
    pub metrics: Arc<dyn ResourceMetricsApi>,
    /// Runtimes, which are made by themselves.
    pub runtimes: Arc<dyn RuntimeApi>,
    /// Orders about versions.
    pub versions: Arc<dyn VersionsApi>,
}

impl Apis {
    /// The APIs implemented by the actors of this node.
    pub fn of(
        node: &Node,
        backup: Backup,
        metrics: Arc<dyn ResourceMetricsApi>,
        runtimes: Arc<dyn RuntimeApi>,
        versions: Arc<dyn VersionsApi>,
    ) -> Self {
        Self {
            management: Arc::new(ManagementService::new(node.clone())),
            rooms: Arc::new(RoomsService::new(node.clone())),
            operator: Arc::new(OperatorService::new(node.clone(), backup)),
            metrics,
            runtimes,
            versions,
        }
    }
}
