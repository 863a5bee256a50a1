//! The server on a real port, with real clients.

use maestro_http::codec::messages::GetSchedulerRequest;
use maestro_http::gateway::Code;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::*;
use crate::api::schedulers_service_client::SchedulersServiceClient;
use crate::script::{Does, Script};

struct Site {
    script: Arc<Script>,
    control: GrpcControl,
    running: JoinHandle<io::Result<()>>,
    client: SchedulersServiceClient<Channel>,
}

impl Site {
    async fn start(does: Does) -> Self {
        let script = Script::new(does);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = GrpcServer::new(listener, script.clone(), script.clone());
        let server = server.await.unwrap();
        let control = server.control();
        let running = tokio::spawn(server.run());
        let client = SchedulersServiceClient::connect(url).await.unwrap();
        Self {
            script,
            control,
            running,
            client,
        }
    }

    /// A call under way, seen by the API.
    async fn calling(&mut self) -> JoinHandle<Result<(), tonic::Status>> {
        let mut client = self.client.clone();
        let before = self.script.heard.lock().unwrap().len();
        let call = tokio::spawn(async move {
            client
                .get_scheduler(GetSchedulerRequest::default())
                .await
                .map(drop)
        });
        while self.script.heard.lock().unwrap().len() == before {
            assert!(!call.is_finished(), "{:?}", call.await);
            tokio::task::yield_now().await;
        }
        call
    }

    async fn stop(self, grace: Duration) {
        let running = async { self.running.await.unwrap().unwrap() };
        let stopped = self.control.stop(grace, running);
        let patience = Duration::from_secs(30);
        tokio::time::timeout(patience, stopped)
            .await
            .expect("it ends");
    }
}

#[tokio::test]
async fn a_panic_or_a_refusal_leaves_the_connection_alive() {
    let mut site = Site::start(Does::Panic).await;
    let panicked = site.calling().await.await.unwrap().unwrap_err();
    assert_eq!(panicked.code(), tonic::Code::Internal);
    *site.script.does.lock().unwrap() = Does::Refuse(Code::NotFound, "no such thing");
    let refused = site.calling().await.await.unwrap().unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::NotFound, "no such thing")
    );
    *site.script.does.lock().unwrap() = Does::Answer;
    assert!(site.calling().await.await.unwrap().is_ok());
    site.stop(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_stop_waits_for_calls_under_way_and_cuts_off_the_rest() {
    let mut site = Site::start(Does::Hang).await;
    let call = site.calling().await;
    // The client keeps its connection, and the call would never end.
    site.stop(Duration::from_millis(50)).await;
    assert!(call.await.unwrap().is_err());

    let (go, gate) = tokio::sync::oneshot::channel();
    let mut site = Site::start(Does::Wait(Arc::new(gate.into()))).await;
    let call = site.calling().await;
    let stopped = tokio::spawn(site.stop(Duration::from_secs(20)));
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    assert!(call.await.unwrap().is_ok(), "it was let finish");
    stopped.await.unwrap();
}
