//! The client on a real connection, against a server that records how it was called.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use super::*;
use crate::script::{Does, Script};
use crate::{ActorsShownTo, Audience, Bounds, GrpcServer};

struct Site {
    script: Arc<Script>,
    client: GrpcClient,
    running: JoinHandle<std::io::Result<()>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Site {
    async fn start(does: Does, audience: Audience) -> Self {
        let script = Script::new(does);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let registry = prometheus::Registry::new();
        let apis = script.apis();
        let server = GrpcServer::new(listener, Bounds::new(8), &registry, apis, audience);
        Self {
            script,
            client: GrpcClient::new(&url).unwrap(),
            running: tokio::spawn(server.await.unwrap().run()),
        }
    }

    async fn pause(&self, context: &RequestContext) -> ApiResult<PauseSchedulerResponse> {
        let request = PauseSchedulerRequest::default();
        self.client.pause_scheduler(context, request).await
    }
}

#[tokio::test]
async fn the_id_and_the_deadline_of_a_request_go_along() {
    let site = Site::start(Does::Answer, Audience::Nodes).await;
    let until = Instant::now() + Duration::from_secs(60);
    let context = RequestContext {
        request_id: "from-ci.7".to_owned(),
        deadline: Some(until),
    };
    site.pause(&context).await.unwrap();
    let heard = site.script.heard.lock().unwrap();
    let (rpc, there, _) = &heard[0];
    assert_eq!(
        (*rpc, there.request_id.as_str()),
        ("pause_scheduler", "from-ci.7")
    );
    let left = there.deadline.unwrap().duration_since(Instant::now());
    assert!(left > Duration::from_secs(30), "{left:?}");
}

#[tokio::test]
async fn failures_come_back_as_they_were() {
    let nobody = RequestContext::internal();
    let site = Site::start(Does::Answer, Audience::Nodes).await;
    for number in 1..=16 {
        for (lasts, owner) in [
            (false, None),
            (true, Some(OwnerHint::Nobody)),
            (false, Some(OwnerHint::At("10.0.0.1:8082".to_owned()))),
        ] {
            let code = Code::from_number(number).unwrap();
            let told = Status {
                lasts,
                owner,
                ..Status::new(code, "because: \"é\"")
            };
            *site.script.does.lock().unwrap() = Does::Refuse(told.clone());
            assert_eq!(site.pause(&nobody).await, Err(told));
        }
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_its_caller() {
    let site = Site::start(Does::Hang, Audience::Nodes).await;
    let context = RequestContext {
        deadline: Some(Instant::now() + Duration::from_millis(20)),
        ..RequestContext::internal()
    };
    let late = Status::new(Code::DeadlineExceeded, "context deadline exceeded");
    assert_eq!(site.pause(&context).await, Err(late));
}

#[tokio::test]
async fn what_changes_a_process_is_not_public_and_who_is_away_is_unavailable() {
    let public = Audience::Public(ActorsShownTo::ThisMachine);
    let site = Site::start(Does::Answer, public).await;
    let nobody = RequestContext::internal();
    let refused = site.pause(&nobody).await.unwrap_err();
    assert_eq!(refused.code, Code::Unimplemented);
    let request = GetRoomRequest::default();
    assert!(site.client.get_room(&nobody, request).await.is_ok());

    let away = GrpcClient::new(&unused()).unwrap();
    let asked = away.get_room(&nobody, GetRoomRequest::default()).await;
    assert_eq!(asked.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn the_actors_are_shown_to_those_who_may_see_them() {
    let nobody = RequestContext::internal();
    for (shown_to, seen) in [
        (ActorsShownTo::Nobody, false),
        (ActorsShownTo::ThisMachine, true),
        (ActorsShownTo::Everybody, true),
    ] {
        let site = Site::start(Does::Answer, Audience::Public(shown_to)).await;
        let request = GetActorsRequest::default();
        let answer = site.client.get_actors(&nobody, request).await;
        assert_eq!(answer.is_ok(), seen, "{shown_to:?}: {answer:?}");
        assert_eq!(site.script.heard.lock().unwrap().len(), usize::from(seen));
        if let Err(refused) = answer {
            assert_eq!(refused.code, Code::PermissionDenied);
            assert!(refused.message.contains("api.debug.enabled"), "{refused}");
        }
    }
}

/// An address on which nothing listens.
fn unused() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", port.local_addr().unwrap())
}

#[tokio::test]
async fn it_is_known_why_no_server_answers() {
    let within = Duration::from_millis(500);
    let reach = async |url: &str| GrpcClient::new(url).unwrap().reach(within).await;
    // Any answer counts as reached.
    let site = Site::start(Does::Panic, Audience::Nodes).await;
    assert_eq!(site.client.reach(Duration::from_secs(20)).await, Ok(()));

    let refused = reach(&unused()).await.unwrap_err();
    assert!(
        matches!(&refused, Unreachable::NoConnection(cause) if cause.contains("refused")),
        "{refused:?}"
    );
    // No answer, the answer of an HTTP/1 server, and a closed connection.
    for (answer, ends) in [
        ("", false),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", false),
        ("", true),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            if !ends {
                std::future::pending().await
            }
        });
        let told = reach(&url).await.unwrap_err();
        let silent = told == Unreachable::Silent;
        assert_eq!(silent, answer.is_empty() && !ends, "{told:?}");
        assert!(
            silent || matches!(told, Unreachable::NotGrpc(_)),
            "{told:?}"
        );
        server.abort();
    }
}
