//! A gRPC server in this process that answers as a test wants: answers that no real server would give, or could give so
//! quickly.

use async_trait::async_trait;
use maestro_api::codec::messages::resourcemetrics::{
    AlertsRequest, AlertsResponse, Response, VersionRequest,
};
use maestro_api::codec::messages::*;
use maestro_api::codec::{Message, decode, encode};
use maestro_api::{
    ApiResult, Apis, ManagementApi, NodeWatch, OperatorApi, RequestContext, ResourceMetricsApi,
    RoomsApi, RuntimeApi, Status, Tick, VersionsApi, Watch, management_calls, operator_calls,
    rooms_calls,
};
use maestro_grpc::{ActorsShownTo, Audience, Bounds, GrpcServer};
use serde_json::Value;
use std::net::TcpListener;
use std::sync::Arc;

/// Maps the name of a call and its request to the answer, as JSON.
type Script = dyn Fn(&'static str, Value) -> ApiResult<Value> + Send + Sync;

/// Runs until it is dropped.
pub struct Scripted {
    pub url: String,
    _running: tokio::runtime::Runtime,
}

pub fn start(
    script: impl Fn(&'static str, Value) -> ApiResult<Value> + Send + Sync + 'static,
) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let actor = Arc::new(Actor(Box::new(script)));
    let apis = Apis {
        management: actor.clone(),
        rooms: actor.clone(),
        operator: actor.clone(),
        metrics: actor.clone(),
        runtimes: actor.clone(),
        versions: actor,
    };
    let running = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    running.spawn(async move {
        let registry = prometheus::Registry::new();
        let audience = Audience::Public(ActorsShownTo::Everybody);
        let server = GrpcServer::new(listener, Bounds::new(16), &registry, apis, audience);
        server.await.expect("whole descriptors").run().await
    });
    Scripted {
        url,
        _running: running,
    }
}

struct Actor(Box<Script>);

impl Actor {
    fn answer<M: Message>(&self, rpc: &'static str, request: &impl Message) -> ApiResult<M> {
        let request = serde_json::from_str(&encode(request)).expect("JSON");
        let answer = (self.0)(rpc, request)?.to_string();
        decode(answer.as_bytes()).map_err(|error| Status::internal(error.to_string()))
    }
}

macro_rules! scripted {
    ($api:ident { $($rpc:ident($request:ident) -> $answer:ident;)* }) => {
        #[async_trait]
        impl $api for Actor {
            $(async fn $rpc(&self, _: &RequestContext, request: $request) -> ApiResult<$answer> {
                self.answer(stringify!($rpc), &request)
            })*
        }
    };
}

management_calls!(scripted);
rooms_calls!(scripted);
operator_calls!(scripted);

#[async_trait]
impl ResourceMetricsApi for Actor {
    async fn get_version(
        &self,
        _: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Response> {
        self.answer("get_version", &request)
    }

    async fn watch_version(&self, _: &RequestContext, request: VersionRequest) -> ApiResult<Watch> {
        let first = self.answer("watch_version", &request)?;
        let only = std::future::ready(Ok(Tick::Samples(first)));
        Ok(Box::pin(futures_util::stream::once(only)))
    }

    async fn get_alerts(
        &self,
        _: &RequestContext,
        request: AlertsRequest,
    ) -> ApiResult<AlertsResponse> {
        self.answer("get_alerts", &request)
    }
}

#[async_trait::async_trait]
impl RuntimeApi for Actor {
    async fn create(
        &self,
        _: &RequestContext,
        request: runtime::Request,
    ) -> ApiResult<runtime::Response> {
        self.answer("create", &request)
    }

    async fn runtime_status(
        &self,
        _: &RequestContext,
        request: runtime::Request,
    ) -> ApiResult<runtime::RuntimeStatusResponse> {
        self.answer("runtime_status", &request)
    }
}
macro_rules! orders {
    ($($rpc:ident)*) => {
        #[async_trait]
        impl VersionsApi for Actor {
            $(async fn $rpc(
                &self,
                _: &RequestContext,
                request: version::Request,
            ) -> ApiResult<version::Response> {
                self.answer(stringify!($rpc), &request)
            })*

            async fn watch_node_status(
                &self,
                _: &RequestContext,
                request: version::NodeStatusRequest,
            ) -> ApiResult<NodeWatch> {
                let first = self.answer("watch_node_status", &request)?;
                let only = std::future::ready(Ok(first));
                Ok(Box::pin(futures_util::stream::once(only)))
            }
        }
    };
}

orders! { start stop publish unpublish update_config }
