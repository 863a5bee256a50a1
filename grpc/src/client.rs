//! A client that implements the APIs of `maestro_api` by calling another process. Callers that hold the trait need not
//! know whether the implementation is local or remote.

mod reach;
mod resource_metrics;
mod runtimes;
mod versions;

use std::error::Error;
use std::time::Duration;

pub use reach::Unreachable;

use maestro_api::codec::messages::*;
use maestro_api::trace::{self, TRACEPARENT, TRACESTATE};
use maestro_api::{
    ApiResult, Code, ManagementApi, OperatorApi, OwnerHint, REQUEST_ID, RequestContext, RoomsApi,
    Status,
};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response};

use crate::api::control_service_client::ControlServiceClient;
use crate::api::fleet_service_client::FleetServiceClient;
use crate::api::operations_service_client::OperationsServiceClient;
use crate::api::operator_service_client::OperatorServiceClient;
use crate::api::rooms_service_client::RoomsServiceClient;
use crate::api::schedulers_service_client::SchedulersServiceClient;
use crate::identity::{NODE_SECRET, NodeSecret};
use crate::status::{OPERATION, OWNER, PUSHBACK};
use crate::tls::{NodeTls, connector};

/// Maximum size of an answer in bytes: a list of all schedulers, each with a spec as large as a request.
const ANSWER_MAX: usize = 64 << 20;
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// A connection whose peer does not answer a keep-alive ping is closed after both intervals.
const PROBE_EVERY: Duration = Duration::from_secs(30);
const PROBE_ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// All calls of the process at one address. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct GrpcClient {
    channel: Channel,
    /// Set for calls from one node to another.
    secret: Option<NodeSecret>,
}

impl GrpcClient {
    /// Connects on the first call, and reconnects on the next call after a failure.
    ///
    /// # Errors
    /// Fails when `url` is not a valid URL.
    pub fn new(url: &str) -> Result<Self, tonic::transport::Error> {
        Ok(Self {
            channel: endpoint(url)?.connect_lazy(),
            secret: None,
        })
    }

    /// Connects as [`Self::new`], by TLS: the server and this process prove to each other that they are nodes.
    ///
    /// # Errors
    /// Fails when `url` is not a valid URL. Its scheme is `http` here too.
    pub fn by_certificate(url: &str, tls: NodeTls) -> Result<Self, tonic::transport::Error> {
        Ok(Self {
            channel: endpoint(url)?.connect_with_connector_lazy(connector(tls)),
            secret: None,
        })
    }

    /// Calls as a node of the cluster that has this secret.
    pub fn of_node(self, secret: Option<NodeSecret>) -> Self {
        Self { secret, ..self }
    }

    /// A call on behalf of a request: its id, deadline and trace context are sent along.
    fn outgoing<M>(&self, context: &RequestContext, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(left) = context.remaining() {
            request.set_timeout(left);
        }
        let headers = request.metadata_mut();
        put(headers, REQUEST_ID, &context.request_id);
        if let Some(place) = trace::current() {
            put(headers, TRACEPARENT, &place.parent);
            if !place.state.is_empty() {
                put(headers, TRACESTATE, &place.state);
            }
        }
        self.sign(headers);
        request
    }

    /// Proves to a node that this is one too.
    pub(crate) fn sign(&self, headers: &mut MetadataMap) {
        if let Some(secret) = &self.secret {
            headers.insert(NODE_SECRET, secret.header());
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

fn endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(CONNECTED_WITHIN)
        .http2_keep_alive_interval(PROBE_EVERY)
        .keep_alive_timeout(PROBE_ANSWERED_WITHIN)
        .keep_alive_while_idle(true);
    Ok(endpoint)
}

/// A value that is no valid header is left out: the other side then generates an id or begins a trace.
fn put(headers: &mut MetadataMap, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
}

/// Awaits the answer, at most until the caller's deadline.
async fn incoming<T>(
    context: &RequestContext,
    call: impl Future<Output = Result<Response<T>, tonic::Status>>,
) -> ApiResult<T> {
    let answer = match context.remaining() {
        None => call.await,
        // The library's own timeout excludes the time to connect, and is reported as `Canceled`.
        Some(left) => tokio::time::timeout(left, call)
            .await
            .unwrap_or_else(|_| Err(tonic::Status::cancelled("Timeout expired"))),
    };
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(told) if context.expired() && told.code() == tonic::Code::Cancelled => Err(
            Status::new(Code::DeadlineExceeded, "context deadline exceeded"),
        ),
        Err(told) => Err(failure(&told)),
    }
}

/// The status that the other side answered, or why it could not be reached.
pub(crate) fn failure(told: &tonic::Status) -> Status {
    // A status sent by the server has no source; only local failures have one. The library has many codes for those; to
    // a caller they are all the same: a retry may succeed.
    if let Some(source) = told.source() {
        let chain = std::iter::successors(Some(source), |error| (**error).source());
        let cause = chain.last().unwrap_or(source);
        return Status::unavailable(format!("the server does not answer: {cause}"));
    }
    let number = u8::try_from(told.code() as i32).unwrap_or_default();
    let text = |name| told.metadata().get(name).and_then(|it| it.to_str().ok());
    let owner = text(OWNER);
    Status {
        operation: text(OPERATION).map(str::to_owned),
        lasts: told.metadata().contains_key(PUSHBACK),
        owner: owner.map(|address| match address {
            "" => OwnerHint::Nobody,
            address => OwnerHint::At(address.to_owned()),
        }),
        ..Status::new(
            Code::from_number(number).unwrap_or(Code::Unknown),
            told.message(),
        )
    }
}

/// Implements an API with the generated clients of its services.
macro_rules! remote {
    ($api:ident by $($client:ident { $($rpc:ident($request:ident) -> $response:ident;)* })*) => {
        #[tonic::async_trait]
        impl $api for GrpcClient {
            $($(async fn $rpc(&self, context: &RequestContext, request: $request) -> ApiResult<$response> {
                let client = $client::new(self.channel.clone());
                let mut client = client.max_decoding_message_size(ANSWER_MAX);
                incoming(context, client.$rpc(self.outgoing(context, request))).await
            })*)*
        }
    };
}

remote! {
    ManagementApi by
    SchedulersServiceClient {
        create_scheduler(CreateSchedulerRequest) -> CreateSchedulerResponse;
        list_schedulers(ListSchedulersRequest) -> ListSchedulersResponse;
        get_schedulers_info(GetSchedulersInfoRequest) -> GetSchedulersInfoResponse;
        get_scheduler(GetSchedulerRequest) -> GetSchedulerResponse;
        new_scheduler_version(NewSchedulerVersionRequest) -> NewSchedulerVersionResponse;
        patch_scheduler(PatchSchedulerRequest) -> PatchSchedulerResponse;
        switch_active_version(SwitchActiveVersionRequest) -> SwitchActiveVersionResponse;
        delete_scheduler(DeleteSchedulerRequest) -> DeleteSchedulerResponse;
        get_scheduler_versions(GetSchedulerVersionsRequest) -> GetSchedulerVersionsResponse;
    }
    OperationsServiceClient {
        list_operations(ListOperationsRequest) -> ListOperationsResponse;
        get_operation(GetOperationRequest) -> GetOperationResponse;
        cancel_operation(CancelOperationRequest) -> CancelOperationResponse;
    }
    FleetServiceClient {
        add_rooms(AddRoomsRequest) -> AddRoomsResponse;
        remove_rooms(RemoveRoomsRequest) -> RemoveRoomsResponse;
    }
}

remote! {
    RoomsApi by
    RoomsServiceClient {
        update_room_with_ping(UpdateRoomWithPingRequest) -> UpdateRoomWithPingResponse;
        forward_room_event(ForwardRoomEventRequest) -> ForwardRoomEventResponse;
        forward_player_event(ForwardPlayerEventRequest) -> ForwardPlayerEventResponse;
        update_room_status(UpdateRoomStatusRequest) -> UpdateRoomStatusResponse;
        get_room_address(GetRoomAddressRequest) -> GetRoomAddressResponse;
        allocate_room(AllocateRoomRequest) -> AllocateRoomResponse;
    }
}

remote! {
    OperatorApi by
    OperatorServiceClient {
        list_rooms(ListRoomsRequest) -> ListRoomsResponse;
        get_rooms_summary(GetRoomsSummaryRequest) -> GetRoomsSummaryResponse;
        get_room(GetRoomRequest) -> GetRoomResponse;
        read_room_log(ReadRoomLogRequest) -> ReadRoomLogResponse;
        get_rollout(GetRolloutRequest) -> GetRolloutResponse;
        get_live_versions(GetLiveVersionsRequest) -> GetLiveVersionsResponse;
        get_actors(GetActorsRequest) -> GetActorsResponse;
        get_nodes(GetNodesRequest) -> GetNodesResponse;
    }
    ControlServiceClient {
        remove_room(RemoveRoomRequest) -> RemoveRoomResponse;
        pause_rollout(PauseRolloutRequest) -> PauseRolloutResponse;
        resume_rollout(ResumeRolloutRequest) -> ResumeRolloutResponse;
        abort_rollout(AbortRolloutRequest) -> AbortRolloutResponse;
        get_version_config(GetVersionConfigRequest) -> GetVersionConfigResponse;
        pause_scheduler(PauseSchedulerRequest) -> PauseSchedulerResponse;
        resume_scheduler(ResumeSchedulerRequest) -> ResumeSchedulerResponse;
        reload_scheduler(ReloadSchedulerRequest) -> ReloadSchedulerResponse;
        run_test_operation(RunTestOperationRequest) -> RunTestOperationResponse;
        back_up(BackUpRequest) -> BackUpResponse;
        drain_node(DrainNodeRequest) -> DrainNodeResponse;
        get_readiness(GetReadinessRequest) -> GetReadinessResponse;
    }
}

#[cfg(test)]
mod tests;
