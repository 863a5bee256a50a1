//! The other nodes of the cluster, called over gRPC.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use maestro_api::codec::messages::*;
use maestro_api::{ApiResult, Apis, Peers, RequestContext, RoomsApi, Status};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::GrpcClient;
use crate::identity::NodeSecret;
use crate::pings::PingLine;
use crate::tls::NodeTls;

/// Maximum number of nodes with an open connection. Beyond it, the one that was called longest ago is forgotten: nodes
/// come and go under new addresses for as long as this process runs.
const PEERS_MAX: usize = 256;

/// Calls other nodes, with one connection each.
pub struct GrpcPeers {
    secret: Option<NodeSecret>,
    tls: Option<NodeTls>,
    io: Handle,
    /// The streams of pings.
    tasks: TaskTracker,
    stop: CancellationToken,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    apis: Apis,
    called_at: Instant,
}

impl GrpcPeers {
    /// Connections live on the runtime `io`, whichever thread calls.
    pub fn new(secret: Option<NodeSecret>, io: Handle) -> Self {
        Self {
            secret,
            tls: None,
            io,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            known: Mutex::default(),
        }
    }

    /// Calls by TLS, with this node's certificate.
    pub fn by_certificate(self, tls: Option<NodeTls>) -> Self {
        Self { tls, ..self }
    }

    fn connect(&self, address: &str) -> ApiResult<Apis> {
        let _on_io = self.io.enter();
        let url = format!("http://{address}");
        let client = match &self.tls {
            Some(tls) => GrpcClient::by_certificate(&url, tls.clone()),
            None => GrpcClient::new(&url),
        };
        let client = client.map_err(|error| {
            Status::unavailable(format!("no node can be called at {address:?}: {error}"))
        })?;
        let client = client.of_node(self.secret.clone());
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        let pings = PingLine::new(client.clone(), self.io.clone(), tasks, stop);
        let calls = Arc::new(client.clone());
        Ok(Apis {
            management: calls.clone(),
            rooms: Arc::new(PeerRooms {
                calls: client,
                pings,
            }),
            operator: calls.clone(),
            metrics: calls.clone(),
            runtimes: calls.clone(),
            versions: calls,
        })
    }

    /// Ends the streams of pings. Later ones are not passed on.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The rooms API of another node: pings go over one stream, everything else is a call.
struct PeerRooms {
    calls: GrpcClient,
    pings: PingLine,
}

macro_rules! calls {
    ($($rpc:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl RoomsApi for PeerRooms {
            async fn update_room_with_ping(
                &self,
                context: &RequestContext,
                request: UpdateRoomWithPingRequest,
            ) -> ApiResult<UpdateRoomWithPingResponse> {
                let success = self.pings.pass(context, request).await?;
                Ok(UpdateRoomWithPingResponse { success })
            }

            $(async fn $rpc(&self, context: &RequestContext, request: $request) -> ApiResult<$response> {
                self.calls.$rpc(context, request).await
            })*
        }
    };
}

calls! {
    forward_room_event(ForwardRoomEventRequest) -> ForwardRoomEventResponse;
    forward_player_event(ForwardPlayerEventRequest) -> ForwardPlayerEventResponse;
    update_room_status(UpdateRoomStatusRequest) -> UpdateRoomStatusResponse;
    get_room_address(GetRoomAddressRequest) -> GetRoomAddressResponse;
    allocate_room(AllocateRoomRequest) -> AllocateRoomResponse;
}

impl Peers for GrpcPeers {
    fn at(&self, address: &str) -> ApiResult<Apis> {
        let mut known = self.known.lock();
        let called_at = Instant::now();
        if let Some(peer) = known.get_mut(address) {
            peer.called_at = called_at;
            return Ok(peer.apis.clone());
        }
        let apis = self.connect(address)?;
        if known.len() >= PEERS_MAX {
            let oldest = known.iter().min_by_key(|(_, peer)| peer.called_at);
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                known.remove(&oldest);
            }
        }
        let peer = Known {
            apis: apis.clone(),
            called_at,
        };
        known.insert(address.to_owned(), peer);
        Ok(apis)
    }
}

#[cfg(test)]
mod tests;
