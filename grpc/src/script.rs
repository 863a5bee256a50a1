//! For tests: both APIs, doing what they are told, and remembering how they were called.

use std::sync::{Arc, Mutex};

use maestro_http::codec::messages::*;
use maestro_http::gateway::{Code, ManagementApi, RequestContext, RoomsApi, Status};

/// What every call does.
#[derive(Clone, Debug, Default)]
pub enum Does {
    /// Answers with an empty message.
    #[default]
    Answer,
    Refuse(Code, &'static str),
    Panic,
    /// Never comes back.
    Hang,
    /// Answers when the test says so.
    Wait(Arc<tokio::sync::Mutex<tokio::sync::oneshot::Receiver<()>>>),
}

#[derive(Default)]
pub struct Script {
    pub does: Mutex<Does>,
    /// The method, its context, and the request as it prints.
    pub heard: Mutex<Vec<(&'static str, RequestContext, String)>>,
}

impl Script {
    pub fn new(does: Does) -> Arc<Self> {
        Arc::new(Self {
            does: Mutex::new(does),
            ..Self::default()
        })
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
            Does::Refuse(code, message) => Err(Status::new(code, message)),
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

scripted! { ManagementApi {
    create_scheduler(CreateSchedulerRequest) -> CreateSchedulerResponse;
    list_schedulers(ListSchedulersRequest) -> ListSchedulersResponse;
    get_schedulers_info(GetSchedulersInfoRequest) -> GetSchedulersInfoResponse;
    get_scheduler(GetSchedulerRequest) -> GetSchedulerResponse;
    new_scheduler_version(NewSchedulerVersionRequest) -> NewSchedulerVersionResponse;
    patch_scheduler(PatchSchedulerRequest) -> PatchSchedulerResponse;
    switch_active_version(SwitchActiveVersionRequest) -> SwitchActiveVersionResponse;
    delete_scheduler(DeleteSchedulerRequest) -> DeleteSchedulerResponse;
    get_scheduler_versions(GetSchedulerVersionsRequest) -> GetSchedulerVersionsResponse;
    add_rooms(AddRoomsRequest) -> AddRoomsResponse;
    remove_rooms(RemoveRoomsRequest) -> RemoveRoomsResponse;
    list_operations(ListOperationsRequest) -> ListOperationsResponse;
    get_operation(GetOperationRequest) -> GetOperationResponse;
    cancel_operation(CancelOperationRequest) -> CancelOperationResponse;
} }

scripted! { RoomsApi {
    update_room_with_ping(UpdateRoomWithPingRequest) -> UpdateRoomWithPingResponse;
    forward_room_event(ForwardRoomEventRequest) -> ForwardRoomEventResponse;
    forward_player_event(ForwardPlayerEventRequest) -> ForwardPlayerEventResponse;
    update_room_status(UpdateRoomStatusRequest) -> UpdateRoomStatusResponse;
    get_room_address(GetRoomAddressRequest) -> GetRoomAddressResponse;
    allocate_room(AllocateRoomRequest) -> AllocateRoomResponse;
} }
