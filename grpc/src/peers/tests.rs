//! Nodes on real connections, with scripted services.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use maestro_api::codec::messages::{GetRoomRequest, PauseSchedulerRequest};
use maestro_api::{Code, RequestContext};
use prometheus::Registry;
use tokio::task::JoinHandle;

use super::*;
use crate::script::{Does, Script};
use crate::{Audience, Bounds, GrpcControl, GrpcServer};

struct Served {
    script: Arc<Script>,
    address: SocketAddr,
    control: GrpcControl,
    running: JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn start(address: &str) -> Self {
        let script = Script::new(Does::Answer);
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (bounds, audience, registry) = (Bounds::new(8), Audience::Nodes, Registry::new());
        let server = GrpcServer::new(listener, bounds, &registry, script.apis(), audience);
        let server = server.await.unwrap().for_those_who_know(secret());
        Self {
            script,
            address,
            control: server.control(),
            running: tokio::spawn(server.run()),
        }
    }

    async fn stop(self) {
        let running = async { self.running.await.unwrap().unwrap() };
        self.control.stop(Duration::ZERO, running).await;
    }
}

fn secret() -> NodeSecret {
    NodeSecret::new("correct-horse-battery").unwrap()
}

fn peers(secret: Option<NodeSecret>) -> GrpcPeers {
    GrpcPeers::new(secret, Handle::current())
}

async fn call(peers: &GrpcPeers, address: &str) -> Result<(), Status> {
    let (apis, context) = (peers.at(address)?, RequestContext::internal());
    let pause = PauseSchedulerRequest::default();
    apis.operator.pause_scheduler(&context, pause).await?;
    let look = GetRoomRequest::default();
    apis.operator.get_room(&context, look).await.map(|_| ())
}

#[tokio::test]
async fn only_those_who_know_the_secret_are_heard() {
    let served = Served::start("127.0.0.1:0").await;
    let address = served.address.to_string();
    let wrong = NodeSecret::new("incorrect-horse-battery").unwrap();
    for stranger in [None, Some(wrong)] {
        let refused = call(&peers(stranger), &address).await.unwrap_err();
        assert_eq!(refused.code, Code::Unavailable);
        assert!(refused.message.contains("cluster.secret"), "{refused}");
        assert!(served.script.heard.lock().unwrap().is_empty());
        // Nor is anything described to them.
        let client = GrpcClient::new(&format!("http://{address}")).unwrap();
        client.reach(Duration::from_secs(5)).await.unwrap();
    }
    call(&peers(Some(secret())), &address).await.unwrap();
    assert_eq!(served.script.heard.lock().unwrap().len(), 2);
    served.stop().await;
}

#[tokio::test]
async fn a_node_that_was_away_is_called_again() {
    let served = Served::start("127.0.0.1:0").await;
    let (peers, address) = (peers(Some(secret())), served.address.to_string());
    call(&peers, &address).await.unwrap();
    served.stop().await;
    for _ in 0..3 {
        let away = call(&peers, &address).await.unwrap_err();
        assert_eq!(
            (away.code, away.lasts),
            (Code::Unavailable, false),
            "{away}"
        );
    }
    let served = Served::start(&address).await;
    call(&peers, &address).await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn addresses_that_come_and_go_are_forgotten() {
    let peers = peers(None);
    for n in 0..PEERS_MAX * 2 {
        assert!(peers.at(&format!("10.0.0.1:{}", n + 1)).is_ok());
    }
    assert_eq!(peers.known.lock().len(), PEERS_MAX);
    assert!(peers.at("not an address").is_err());
}
