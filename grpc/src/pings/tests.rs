//! Pings on a real stream, with scripted services on the other side.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use maestro_api::codec::Struct;
use maestro_api::codec::messages::UpdateRoomWithPingRequest;
use maestro_api::{ApiResult, Code, OwnerHint, RequestContext, Status};
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PingLine;
use super::wire::UNDER_WAY_MAX;
use crate::client::GrpcClient;
use crate::script::{Does, Script};
use crate::{Audience, Bounds, GrpcControl, GrpcServer, NodeSecret};

struct Site {
    script: Arc<Script>,
    line: PingLine,
    address: String,
    control: GrpcControl,
    running: JoinHandle<std::io::Result<()>>,
}

fn secret() -> NodeSecret {
    NodeSecret::new("correct-horse-battery").unwrap()
}

async fn serve(
    script: &Arc<Script>,
    address: &str,
) -> (String, GrpcControl, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (bounds, audience, registry) = (Bounds::new(8), Audience::Nodes, Registry::new());
    let server = GrpcServer::new(listener, bounds, &registry, script.apis(), audience);
    let server = server.await.unwrap().for_those_who_know(secret());
    (address, server.control(), tokio::spawn(server.run()))
}

fn line(address: &str, secret: Option<NodeSecret>) -> PingLine {
    let client = GrpcClient::new(&format!("http://{address}"))
        .unwrap()
        .of_node(secret);
    PingLine::new(
        client,
        Handle::current(),
        TaskTracker::new(),
        CancellationToken::new(),
    )
}

impl Site {
    async fn start(does: Does) -> Self {
        let script = Script::new(does);
        let (address, control, running) = serve(&script, "127.0.0.1:0").await;
        Self {
            line: line(&address, Some(secret())),
            script,
            address,
            control,
            running,
        }
    }

    async fn ping(&self, room: &str) -> ApiResult<bool> {
        self.line
            .pass(&RequestContext::internal(), ping(room))
            .await
    }

    /// The rooms in the order in which their pings came.
    fn heard(&self) -> Vec<String> {
        let heard = self.script.heard.lock().unwrap();
        let room = |request: &String| {
            let (_, rest) = request.split_once("room_name: \"").unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        heard.iter().map(|(_, _, request)| room(request)).collect()
    }
}

fn ping(room: &str) -> UpdateRoomWithPingRequest {
    UpdateRoomWithPingRequest {
        scheduler_name: "arena".to_owned(),
        room_name: room.to_owned(),
        metadata: Some(Struct::from_text(r#"{"a":1}"#).unwrap()),
        status: "ready".to_owned(),
        running_matches: 3,
        ..UpdateRoomWithPingRequest::default()
    }
}

fn within(time: Duration) -> RequestContext {
    RequestContext {
        deadline: Some(Instant::now() + time),
        ..RequestContext::internal()
    }
}

#[tokio::test]
async fn the_owner_knows_the_id_of_the_rooms_request() {
    let site = Site::start(Does::Answer).await;
    for (given, kept) in [("from-room.7", true), ("two words", false)] {
        let context = RequestContext {
            request_id: given.to_owned(),
            ..RequestContext::internal()
        };
        site.line.pass(&context, ping("r")).await.unwrap();
        let heard = site.script.heard.lock().unwrap();
        let id = &heard.last().unwrap().1.request_id;
        assert_eq!(id == given, kept, "{id}");
        assert!(!id.is_empty());
    }
}

#[tokio::test]
async fn pings_come_in_order_and_whole_and_each_is_answered() {
    let site = Site::start(Does::Answer).await;
    // An empty answer is one without success.
    assert_eq!(site.ping("first").await, Ok(false));
    {
        let heard = site.script.heard.lock().unwrap();
        let (rpc, context, request) = &heard[0];
        assert_eq!((*rpc, context.deadline), ("update_room_with_ping", None));
        let sent = format!("{:?}", ping("first"));
        assert_eq!(*request, sent);
    }
    for _ in 0..2 {
        let before = site.heard().len();
        let rooms: Vec<String> = (0..UNDER_WAY_MAX).map(|n| n.to_string()).collect();
        let all = join_all(rooms.iter().map(|room| site.ping(room))).await;
        assert!(all.iter().all(|answer| *answer == Ok(false)));
        assert!(
            site.heard()[before..] == rooms,
            "they came in another order"
        );
    }
}

#[tokio::test]
async fn what_the_owner_says_comes_back() {
    let unavailable = || Status::unavailable("because");
    let hint = |owner| Status {
        owner: Some(owner),
        ..unavailable()
    };
    let elsewhere = OwnerHint::At("10.0.0.1:1".to_owned());
    for (told, wanted) in [
        (unavailable(), Ok(false)),
        (
            Status::invalid_argument("no word"),
            Err((Code::InvalidArgument, None)),
        ),
        (
            hint(elsewhere.clone()),
            Err((Code::Unavailable, Some(elsewhere))),
        ),
        (
            hint(OwnerHint::Nobody),
            Err((Code::Unavailable, Some(OwnerHint::Nobody))),
        ),
    ] {
        let site = Site::start(Does::Refuse(told)).await;
        let answer = site.ping("room").await;
        assert_eq!(answer.map_err(|status| (status.code, status.owner)), wanted);
    }
    let site = Site::start(Does::Panic).await;
    assert_eq!(site.ping("room").await, Ok(false));
    *site.script.does.lock().unwrap() = Does::Answer;
    assert_eq!(site.ping("room").await, Ok(false), "the stream goes on");
}

#[tokio::test]
async fn a_hanging_owner_costs_the_deadline_and_a_bounded_number_of_places() {
    let site = Site::start(Does::Hang).await;
    let short = within(Duration::from_millis(300));
    let hung = (0..UNDER_WAY_MAX).map(|_| site.line.pass(&short, ping("room")));
    let mut hung = std::pin::pin!(join_all(hung));
    let late = (&mut hung).await;
    assert!(late.iter().all(|answer| {
        answer
            .as_ref()
            .is_err_and(|status| status.code == Code::DeadlineExceeded)
    }));
    let busy = site.ping("room").await.unwrap_err();
    assert_eq!(busy.code, Code::ResourceExhausted, "{busy}");
}

#[tokio::test]
async fn a_stream_that_ends_answers_all_and_is_opened_again() {
    let site = Site::start(Does::Answer).await;
    assert_eq!(site.ping("room").await, Ok(false));
    let Site {
        script,
        line,
        address,
        control,
        running,
    } = site;
    let pass = async || line.pass(&RequestContext::internal(), ping("room")).await;
    let running = async { running.await.unwrap().unwrap() };
    let began = Instant::now();
    control.stop(Duration::from_secs(20), running).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "a stream does not hold up the shutdown"
    );
    let away = pass().await.unwrap_err();
    assert_eq!(away.code, Code::Unavailable, "{away}");
    let (_, control, running) = serve(&script, &address).await;
    let until = Instant::now() + Duration::from_secs(10);
    while pass().await != Ok(false) {
        assert!(Instant::now() < until, "it is never opened again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A node that dies in the middle of pings leaves none of them unanswered.
    *script.does.lock().unwrap() = Does::Hang;
    let cut = async {
        let arrived = script.heard.lock().unwrap().len();
        while script.heard.lock().unwrap().len() < arrived + 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let running = async { running.await.unwrap().unwrap() };
        control.stop(Duration::ZERO, running).await;
    };
    let pings = join_all((0..3).map(|_| pass()));
    let (answers, ()) = tokio::join!(pings, cut);
    for answer in answers {
        assert_eq!(answer.unwrap_err().code, Code::Unavailable);
    }
}

#[tokio::test]
async fn pings_of_strangers_are_refused() {
    let site = Site::start(Does::Answer).await;
    let refused = line(&site.address, None)
        .pass(&RequestContext::internal(), ping("room"))
        .await;
    assert_eq!(refused.unwrap_err().code, Code::Unavailable);
    assert!(site.heard().is_empty());
}
