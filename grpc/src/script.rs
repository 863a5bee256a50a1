//! For tests: all APIs, with scripted behavior and a record of the calls received.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use maestro_api::codec::messages::resourcemetrics::{
    AlertsRequest, AlertsResponse, Response, VersionRequest,
};
use maestro_api::codec::messages::version::{NodeStatusRequest, NodeStatusResponse};
use maestro_api::codec::messages::*;
use maestro_api::{
    ApiResult, Apis, ManagementApi, NodeWatch, OperatorApi, RequestContext, ResourceMetricsApi,
    RoomsApi, RuntimeApi, Status, Tick, VersionsApi, Watch, management_calls, operator_calls,
    rooms_calls,
};

/// How every call behaves.
#[derive(Clone, Debug, Default)]
pub enum Does {
    /// Answers with an empty message.
    #[default]
    Answer,
    Refuse(Status),
    Panic,
    /// Never returns.
    Hang,
    /// Answers when the test completes the channel.
    Wait(Arc<tokio::sync::Mutex<tokio::sync::oneshot::Receiver<()>>>),
}

#[derive(Default)]
pub struct Script {
    pub does: Mutex<Does>,
    /// The method, its context, and the request in debug format.
    pub heard: Mutex<Vec<(&'static str, RequestContext, String)>>,
    /// Watches whose clients have not left.
    pub watching: Arc<AtomicUsize>,
}

impl Script {
    pub fn new(does: Does) -> Arc<Self> {
        Arc::new(Self {
            does: Mutex::new(does),
            ..Self::default()
        })
    }

    pub fn apis(self: &Arc<Self>) -> Apis {
        Apis {
            management: self.clone(),
            rooms: self.clone(),
            operator: self.clone(),
            metrics: self.clone(),
            runtimes: self.clone(),
            versions: self.clone(),
        }
    }

    async fn hear(
        &self,
        rpc: &'static str,
        context: &RequestContext,
        request: String,
    ) -> Result<(), Status> {
        let heard = (rpc, context.clone(), request);
        self.heard.lock().unwrap().push(heard);
        let does = self.does.lock().unwrap().clone();
        match does {
            Does::Answer => Ok(()),
            Does::Refuse(status) => Err(status),
            Does::Panic => panic!("as the test wants"),
            Does::Hang => std::future::pending().await,
            Does::Wait(gate) => {
                let mut gate = gate.lock().await;
                (&mut *gate)
                    .await
                    .map_err(|_| Status::internal("no test left"))
            }
        }
    }
}

macro_rules! scripted {
    ($trait:ident { $($rpc:ident($request:ident) -> $response:ident;)* }) => {
        #[tonic::async_trait]
        impl $trait for Script {
            $(async fn $rpc(&self, context: &RequestContext, request: $request) -> Result<$response, Status> {
                self.hear(stringify!($rpc), context, format!("{request:?}")).await?;
                Ok($response::default())
            })*
        }
    };
}

#[tonic::async_trait]
impl ResourceMetricsApi for Script {
    async fn get_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Response> {
        let heard = self.hear("get_version", context, format!("{request:?}"));
        heard.await.map(|()| Response::default())
    }

    /// One message with as many samples as the request's step says, then nothing more. Without any it ends.
    async fn watch_version(
        &self,
        context: &RequestContext,
        request: VersionRequest,
    ) -> ApiResult<Watch> {
        let heard = self.hear("watch_version", context, format!("{request:?}"));
        heard.await?;
        let samples = usize::try_from(request.step).unwrap_or_default();
        let first = Response {
            versionResourceMetrics: vec![Default::default(); samples],
        };
        let guard = Watching::new(&self.watching);
        let first = stream::iter([Ok(Tick::Samples(first))]);
        if samples == 0 {
            return Ok(first.boxed());
        }
        let rest = stream::once(async move {
            let _guard = guard;
            std::future::pending().await
        });
        Ok(first.chain(rest).boxed())
    }

    async fn get_alerts(
        &self,
        context: &RequestContext,
        request: AlertsRequest,
    ) -> ApiResult<AlertsResponse> {
        let heard = self.hear("get_alerts", context, format!("{request:?}"));
        heard.await.map(|()| AlertsResponse::default())
    }
}

#[tonic::async_trait]
impl RuntimeApi for Script {
    async fn create(
        &self,
        context: &RequestContext,
        request: runtime::Request,
    ) -> ApiResult<runtime::Response> {
        let heard = self.hear("create", context, format!("{request:?}"));
        heard.await.map(|()| runtime::Response::default())
    }

    async fn runtime_status(
        &self,
        context: &RequestContext,
        request: runtime::Request,
    ) -> ApiResult<runtime::RuntimeStatusResponse> {
        let heard = self.hear("runtime_status", context, format!("{request:?}"));
        heard
            .await
            .map(|()| runtime::RuntimeStatusResponse::default())
    }
}

macro_rules! scripted_orders {
    ($($rpc:ident)*) => {
        #[tonic::async_trait]
        impl VersionsApi for Script {
            $(async fn $rpc(
                &self,
                context: &RequestContext,
                request: version::Request,
            ) -> ApiResult<version::Response> {
                self.hear(stringify!($rpc), context, format!("{request:?}")).await?;
                Ok(version::Response::default())
            })*

            /// One message, then the end.
            async fn watch_node_status(
                &self,
                context: &RequestContext,
                request: NodeStatusRequest,
            ) -> ApiResult<NodeWatch> {
                let heard = self.hear("watch_node_status", context, format!("{request:?}"));
                heard.await?;
                Ok(stream::iter([Ok(NodeStatusResponse::default())]).boxed())
            }
        }
    };
}

scripted_orders! { start stop publish unpublish update_config }

/// Counts the watches that have not been dropped.
struct Watching(Arc<AtomicUsize>);

impl Watching {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

management_calls!(scripted);
rooms_calls!(scripted);
operator_calls!(scripted);
