//! The stubs of a forwarder: what is sent arrives under the contract's names and numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use maestro_grpc::events::grpc_forwarder_client::GrpcForwarderClient;
use maestro_grpc::events::grpc_forwarder_server::{GrpcForwarder, GrpcForwarderServer};
use maestro_grpc::events::room_status::RoomStatusType;
use maestro_grpc::events::{PlayerEvent, Response, Room, RoomEvent, RoomInfo, RoomStatus};
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status};

type Answer = Result<tonic::Response<Response>, Status>;

/// Records the statuses that it receives.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<RoomStatus>>>);

fn ok() -> Answer {
    Ok(tonic::Response::new(Response {
        code: 200,
        message: String::new(),
    }))
}

#[tonic::async_trait]
impl GrpcForwarder for Ear {
    async fn send_room_info(&self, _: Request<RoomInfo>) -> Answer {
        ok()
    }
    async fn send_room_status(&self, request: Request<RoomStatus>) -> Answer {
        let mut heard = self.0.lock().map_err(|_| Status::internal("poisoned"))?;
        heard.push(request.into_inner());
        drop(heard);
        ok()
    }
    async fn send_room_ping(&self, _: Request<Room>) -> Answer {
        ok()
    }
    async fn send_room_resync(&self, _: Request<RoomStatus>) -> Answer {
        ok()
    }
    async fn send_room_event(&self, _: Request<RoomEvent>) -> Answer {
        ok()
    }
    async fn send_player_event(&self, _: Request<PlayerEvent>) -> Answer {
        Err(Status::unavailable("no players here"))
    }
}

fn status() -> RoomStatus {
    RoomStatus {
        room: Some(Room {
            game: "g".into(),
            room_id: "r".into(),
            host: "h".into(),
            port: 7,
            metadata: BTreeMap::from([("k".into(), "v".into())]),
            room_type: "t".into(),
        }),
        status_type: RoomStatusType::Terminating.into(),
    }
}

#[tokio::test]
async fn a_forwarder_hears_what_is_sent() {
    let ear = Ear::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .add_service(GrpcForwarderServer::new(ear.clone()))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            let _ = stopped.await;
        });
    let server = tokio::spawn(server);

    let mut client = GrpcForwarderClient::connect(address).await.unwrap();
    let answer = client.send_room_status(status()).await.unwrap();
    assert_eq!(answer.into_inner().code, 200);
    assert_eq!(*ear.0.lock().unwrap(), [status()]);
    let refused = client.send_player_event(PlayerEvent::default()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert_eq!(refused.message(), "no players here");

    drop(client);
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}

/// Written by hand from contract 16: `Room` skips number 3.
#[test]
fn the_numbers_on_the_wire_are_the_contracts() {
    let expected =
        b"\x0a\x16\x0a\x01g\x12\x01r\x22\x01h\x28\x07\x32\x06\x0a\x01k\x12\x01v\x3a\x01t\x10\x02";
    let bytes = status().encode_to_vec();
    assert_eq!(bytes, expected, "{bytes:x?}");
}
