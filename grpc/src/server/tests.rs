//! The server on a real port, with real clients.

use maestro_api::codec::messages::GetSchedulerRequest;
use maestro_api::{Code, Status};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::*;
use crate::ActorsShownTo;
use crate::api::schedulers_service_client::SchedulersServiceClient;
use crate::script::{Does, Script};

struct Site {
    script: Arc<Script>,
    control: GrpcControl,
    running: JoinHandle<io::Result<()>>,
    client: SchedulersServiceClient<Channel>,
    address: SocketAddr,
}

impl Site {
    async fn start(does: Does) -> Self {
        Self::start_with(does, Bounds::new(64)).await
    }

    async fn start_with(does: Does, bounds: Bounds) -> Self {
        let script = Script::new(does);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let registry = prometheus::Registry::new();
        let audience = Audience::Public(ActorsShownTo::Nobody);
        let server = GrpcServer::new(listener, bounds, &registry, script.apis(), audience);
        let server = server.await.unwrap();
        let control = server.control();
        let running = tokio::spawn(server.run());
        let client = SchedulersServiceClient::connect(url).await.unwrap();
        Self {
            script,
            control,
            running,
            client,
            address,
        }
    }

    /// A call in progress: the API has received it and not answered yet.
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
    *site.script.does.lock().unwrap() = Does::Refuse(Status::new(Code::NotFound, "no such thing"));
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
    // The client keeps its connection open, and the call would never end.
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

const LONG: Duration = Duration::from_secs(20);
const GREETING: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Completes when the other side closes the connection.
async fn ended(mut client: TcpStream) {
    let mut buffer = [0; 256];
    let all = async { while matches!(client.read(&mut buffer).await, Ok(n) if n > 0) {} };
    tokio::time::timeout(LONG, all).await.expect("it ends");
}

#[tokio::test]
async fn a_connection_without_a_preface_ends() {
    let bounds = Bounds {
        preface_within: Duration::from_millis(300),
        ..Bounds::new(8)
    };
    let mut site = Site::start_with(Does::Answer, bounds).await;
    let silent = TcpStream::connect(site.address).await.unwrap();
    let mut half = TcpStream::connect(site.address).await.unwrap();
    half.write_all(&GREETING[..20]).await.unwrap();
    ended(silent).await;
    ended(half).await;
    // A client that has sent its preface may be silent for longer.
    assert!(site.calling().await.await.unwrap().is_ok());
    site.stop(LONG).await;
}

#[tokio::test]
async fn idle_connections_make_room_and_calls_under_way_do_not() {
    let (go, gate) = tokio::sync::oneshot::channel();
    let mut site = Site::start_with(Does::Wait(Arc::new(gate.into())), Bounds::new(2)).await;
    let call = site.calling().await;
    let mut idle = TcpStream::connect(site.address).await.unwrap();
    idle.write_all(GREETING).await.unwrap();
    for _ in 0..20 {
        let mut next = TcpStream::connect(site.address).await.unwrap();
        next.write_all(GREETING).await.unwrap();
        let mut settings = [0; 9];
        let answered = tokio::time::timeout(LONG, next.read_exact(&mut settings)).await;
        answered.expect("it is served").unwrap();
        ended(std::mem::replace(&mut idle, next)).await;
    }
    go.send(()).unwrap();
    assert!(call.await.unwrap().is_ok(), "it was not cut");
    *site.script.does.lock().unwrap() = Does::Answer;
    assert!(site.calling().await.await.unwrap().is_ok());
    site.stop(LONG).await;
}

/// A frame of HTTP/2 on a stream.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

/// The head of a call: POST, http, and two fields without an index (RFC 7541, 6.2.2).
fn head(flags: u8, stream: u32) -> Vec<u8> {
    let path = b"/api.v1.SchedulersService/GetScheduler";
    let kind = b"application/grpc";
    let field = |index: &[u8], value: &[u8]| [index, &[value.len() as u8], value].concat();
    let payload = [
        vec![0x83, 0x86],
        field(&[4], path),
        field(&[0x0f, 16], kind),
    ]
    .concat();
    frame(1, 4 | flags, stream, &payload)
}

/// The frame that a misbehaving client sends over and over.
type Flood = Box<dyn FnMut() -> Vec<u8> + Send>;

fn floods() -> Vec<(&'static str, Flood)> {
    let same = |frame: Vec<u8>| -> Flood { Box::new(move || frame.clone()) };
    let mut stream = 1;
    let resets = move || {
        stream += 2;
        [head(1, stream), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let mut begun = false;
    let nothing = move || match std::mem::replace(&mut begun, true) {
        false => head(0, 1),
        true => frame(0, 0, 1, &[]),
    };
    vec![
        ("settings", same(frame(4, 0, 0, &[]))),
        ("a setting", same(frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]))),
        ("pings", same(frame(6, 0, 0, &[7; 8]))),
        ("answers to no ping", same(frame(6, 1, 0, &[7; 8]))),
        ("priorities", same(frame(2, 0, 3, &[0, 0, 0, 0, 16]))),
        ("windows", same(frame(8, 0, 0, &[0, 0, 0, 1]))),
        ("frames of no kind", same(frame(77, 0, 0, &[1]))),
        ("calls that are reset", Box::new(resets)),
        ("empty data", Box::new(nothing)),
    ]
}

#[tokio::test]
async fn a_flood_of_frames_that_no_call_needs_is_cut() {
    let mut site = Site::start(Does::Answer).await;
    for (name, mut flood) in floods() {
        let mut client = TcpStream::connect(site.address).await.unwrap();
        client.write_all(GREETING).await.unwrap();
        client.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        let (mut reader, mut writer) = client.into_split();
        let mut sent = 0;
        let attack = async {
            let write = async {
                loop {
                    let many: Vec<u8> = (0..500).flat_map(|_| flood()).collect();
                    if writer.write_all(&many).await.is_err() {
                        return;
                    }
                    sent += 500;
                }
            };
            // Answers are read, so that only the flood can end the connection.
            let mut buffer = [0; 4096];
            let read = async { while matches!(reader.read(&mut buffer).await, Ok(n) if n > 0) {} };
            tokio::select! {
                () = write => {}
                () = read => {}
            }
        };
        let ended = tokio::time::timeout(LONG, attack).await;
        assert!(ended.is_ok(), "{name}: {sent} frames, and it goes on");
    }
    // Other clients are not affected.
    assert!(site.calling().await.await.unwrap().is_ok());
    site.stop(LONG).await;
}

#[tokio::test]
async fn ten_thousand_calls_on_one_connection_are_no_flood() {
    let mut site = Site::start(Does::Answer).await;
    let message = GetSchedulerRequest::default;
    for _ in 0..100 {
        let calls = (0..100).map(|_| {
            let mut client = site.client.clone();
            async move { client.get_scheduler(message()).await }
        });
        for answer in futures_util::future::join_all(calls).await {
            answer.unwrap();
        }
    }
    assert!(site.calling().await.await.unwrap().is_ok());
    site.stop(LONG).await;
}

mod streams {
    //! Calls whose answer is a stream.

    use maestro_api::codec::messages::resourcemetrics::VersionRequest;
    use std::sync::atomic::Ordering::SeqCst;
    use tonic::{Code, Request};

    use super::*;
    use crate::api::resource_metrics_service_client::ResourceMetricsServiceClient;
    use crate::crowd::STREAMS_MAX;

    type Watcher = ResourceMetricsServiceClient<Channel>;

    async fn watcher(site: &Site) -> Watcher {
        let url = format!("http://{}", site.address);
        let client = Watcher::connect(url).await.unwrap();
        client.max_decoding_message_size(usize::MAX)
    }

    /// A watch whose first message has so many samples.
    fn of(samples: i32) -> VersionRequest {
        VersionRequest {
            step: samples,
            ..Default::default()
        }
    }

    async fn until_nobody_watches(site: &Site) {
        let gone = async {
            while site.script.watching.load(SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        };
        let second = Duration::from_secs(1);
        tokio::time::timeout(second, gone)
            .await
            .expect("a client that left leaves nothing");
    }

    #[tokio::test]
    async fn streams_of_a_connection_are_bounded_and_calls_go_on_beside_them() {
        let site = Site::start(Does::Answer).await;
        let mut client = watcher(&site).await;
        let mut open = Vec::new();
        for _ in 0..STREAMS_MAX {
            open.push(client.watch_version(of(1)).await.unwrap().into_inner());
        }
        let refused = client.watch_version(of(1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("1024 streams"), "{refused}");
        assert!(client.get_version(of(0)).await.is_ok());
        open.pop();
        let again = async {
            while client.watch_version(of(1)).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, again).await.expect("a place");
        drop(open);
        until_nobody_watches(&site).await;
        drop(client);
        site.stop(LONG).await;
    }

    #[tokio::test]
    async fn a_client_that_left_leaves_nothing_whether_it_read_or_not() {
        let site = Site::start(Does::Answer).await;
        for samples in [1, 300_000] {
            let mut client = watcher(&site).await;
            let mut watch = client
                .watch_version(of(samples))
                .await
                .unwrap()
                .into_inner();
            if samples == 1 {
                assert!(watch.message().await.unwrap().is_some());
            }
            assert_eq!(site.script.watching.load(SeqCst), 1);
            // The stream alone, and then the connection with it.
            drop(watch);
            until_nobody_watches(&site).await;
            let kept = client.watch_version(of(samples)).await.unwrap();
            drop((kept, client));
            until_nobody_watches(&site).await;
        }
        site.stop(LONG).await;
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_callers_patience() {
        let site = Site::start(Does::Answer).await;
        let mut client = watcher(&site).await;
        let mut request = Request::new(of(1));
        request.set_timeout(Duration::from_millis(300));
        let mut watch = client.watch_version(request).await.unwrap().into_inner();
        assert!(watch.message().await.unwrap().is_some());
        let late = watch.message().await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        until_nobody_watches(&site).await;
        drop(client);
        site.stop(LONG).await;
    }
}
