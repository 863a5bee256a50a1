//! The API of Maestro, independent of transports: messages, traits that define the calls, and services that implement
//! them by asking the actors.
//!
//! HTTP and gRPC adapt these traits and do not know each other. No transport is known here: a call gets what it needs
//! to know about its request as a [`RequestContext`].

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod access;
pub mod access_log;
pub mod codec;
mod context;
pub mod convert;
mod error;
mod management;
mod operator;
mod resource_metrics;
mod rooms;
mod routed;
mod runtimes;
mod seldom;
mod service;
mod status;
pub mod trace;
mod versions;

pub use access::{ManagerAccess, ManagerToken};
pub use context::{REQUEST_ID, RequestContext, grpc_deadline, http_deadline, sane_request_id};
pub use management::ManagementApi;
pub use operator::OperatorApi;
pub use resource_metrics::{ResourceMetricsApi, Tick, Watch};
pub use rooms::RoomsApi;
pub use routed::{Peers, owned, routed};
pub use runtimes::{RuntimeApi, runtime_name};
pub use seldom::Seldom;
pub use service::{
    Apis, Backup, BackupDone, BackupError, CpuUnit, LOG_LINES, LOG_LINES_MAX, ManagementService,
    OperatorService, ROOMS_PER_PAGE, ROOMS_PER_PAGE_MAX, ResourceSettings, ResourcesService,
    RoomsService, RuntimesService, RuntimesUntilDone, UntilDone, VersionsService, Waits,
};
pub use status::{Code, OwnerHint, Status};
pub use versions::{NodeWatch, VersionsApi};

/// The result of a call.
pub type ApiResult<T> = Result<T, Status>;

/// The APIs, which differ in how failures are reported and what is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Schedulers and their operations.
    Management,
    /// Pings, events and allocation.
    Rooms,
}
