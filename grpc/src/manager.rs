//! The services of the K8s manager, in addition to the contract.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use maestro_api::codec::messages::{resourcemetrics, runtime, version};
use maestro_api::{Api, RequestContext, ResourceMetricsApi, RuntimeApi, VersionsApi, runtime_name};
use tonic::{Request, Response};

use crate::api::resource_metrics_service_server::ResourceMetricsService;
use crate::api::runtime_service_server::RuntimeService;
use crate::api::version_service_server::VersionService;
use crate::rpc::{Rpc, record};
use crate::status::status;
use crate::watches::{samples, until_deadline};

pub const RESOURCES: &[Rpc] = &[
    reads("/resourcemetrics.ResourceMetricsService/GetVersion", false),
    reads("/resourcemetrics.ResourceMetricsService/WatchVersion", true),
    reads("/resourcemetrics.ResourceMetricsService/GetAlerts", false),
];

pub const RUNTIMES: &[Rpc] = &[
    manages("/runtime.RuntimeService/Create"),
    reads("/runtime.RuntimeService/RuntimeStatus", false),
];

pub const VERSIONS: &[Rpc] = &[
    manages("/version.VersionService/Start"),
    manages("/version.VersionService/Stop"),
    manages("/version.VersionService/Publish"),
    manages("/version.VersionService/Unpublish"),
    manages("/version.VersionService/UpdateConfig"),
    reads("/version.VersionService/WatchNodeStatus", true),
];

const fn reads(path: &'static str, streams: bool) -> Rpc {
    Rpc {
        path,
        api: Api::Management,
        mutating: false,
        shows_process: false,
        streams,
        manages: false,
    }
}

const fn manages(path: &'static str) -> Rpc {
    Rpc {
        mutating: true,
        manages: true,
        ..reads(path, false)
    }
}

/// `ResourceMetricsService`.
#[derive(Clone)]
pub struct ResourceMetrics(pub Arc<dyn ResourceMetricsApi>);

/// The context that the server inserted before the request was routed to a service, and the message.
fn taken<M>(mut request: Request<M>) -> (RequestContext, M) {
    let context = request.extensions_mut().remove();
    let context = context.unwrap_or_else(RequestContext::internal);
    (context, request.into_inner())
}

#[tonic::async_trait]
impl ResourceMetricsService for ResourceMetrics {
    type WatchVersionStream = BoxStream<'static, Result<resourcemetrics::Response, tonic::Status>>;

    async fn get_version(
        &self,
        request: Request<resourcemetrics::VersionRequest>,
    ) -> Result<Response<resourcemetrics::Response>, tonic::Status> {
        let (context, message) = taken(request);
        record("scheduler_name", &message.namespace);
        let answer = self.0.get_version(&context, message).await;
        answer.map(Response::new).map_err(status)
    }

    async fn watch_version(
        &self,
        request: Request<resourcemetrics::VersionRequest>,
    ) -> Result<Response<Self::WatchVersionStream>, tonic::Status> {
        let (context, message) = taken(request);
        record("scheduler_name", &message.namespace);
        let watch = self.0.watch_version(&context, message).await;
        let watch = watch.map_err(status)?;
        Ok(Response::new(until_deadline(
            samples(watch),
            context.deadline,
        )))
    }

    async fn get_alerts(
        &self,
        request: Request<resourcemetrics::AlertsRequest>,
    ) -> Result<Response<resourcemetrics::AlertsResponse>, tonic::Status> {
        let (context, message) = taken(request);
        record("scheduler_name", &message.namespace);
        let answer = self.0.get_alerts(&context, message).await;
        answer.map(Response::new).map_err(status)
    }
}

/// `RuntimeService`.
#[derive(Clone)]
pub struct Runtimes(pub Arc<dyn RuntimeApi>);

#[tonic::async_trait]
impl RuntimeService for Runtimes {
    async fn create(
        &self,
        request: Request<runtime::Request>,
    ) -> Result<Response<runtime::Response>, tonic::Status> {
        let (context, message) = taken(request);
        // The message has credentials, and is not shown.
        record("scheduler_name", runtime_name(&message));
        let answer = self.0.create(&context, message).await;
        answer.map(Response::new).map_err(status)
    }

    async fn runtime_status(
        &self,
        request: Request<runtime::Request>,
    ) -> Result<Response<runtime::RuntimeStatusResponse>, tonic::Status> {
        let (context, message) = taken(request);
        record("scheduler_name", runtime_name(&message));
        let answer = self.0.runtime_status(&context, message).await;
        answer.map(Response::new).map_err(status)
    }
}

/// `VersionService`. When an order is answered depends on the implementation.
#[derive(Clone)]
pub struct Versions(pub Arc<dyn VersionsApi>);

/// Implements each order by the call of its name.
macro_rules! orders {
    ($($rpc:ident)*) => {
        #[tonic::async_trait]
        impl VersionService for Versions {
            $(async fn $rpc(
                &self,
                request: Request<version::Request>,
            ) -> Result<Response<version::Response>, tonic::Status> {
                let (context, message) = taken(request);
                if let Some(version) = &message.version {
                    record("scheduler_name", &version.namespace);
                }
                let answer = self.0.$rpc(&context, message).await;
                answer.map(Response::new).map_err(status)
            })*

            type WatchNodeStatusStream =
                BoxStream<'static, Result<version::NodeStatusResponse, tonic::Status>>;

            async fn watch_node_status(
                &self,
                request: Request<version::NodeStatusRequest>,
            ) -> Result<Response<Self::WatchNodeStatusStream>, tonic::Status> {
                let (context, message) = taken(request);
                record("scheduler_name", &message.namespace);
                let watch = self.0.watch_node_status(&context, message).await;
                let watch = watch.map_err(status)?;
                Ok(Response::new(until_deadline(watch, context.deadline)))
            }
        }
    };
}

orders! { start stop publish unpublish update_config }
