//! For tests: all APIs, with scripted behavior and a record of the calls received.

use std::sync::{Arc, Mutex};

use maestro_api::codec::messages::*;
use maestro_api::{
    Apis, ManagementApi, OperatorApi, RequestContext, RoomsApi, Status, management_calls,
    operator_calls, rooms_calls,
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

management_calls!(scripted);
rooms_calls!(scripted);
operator_calls!(scripted);
