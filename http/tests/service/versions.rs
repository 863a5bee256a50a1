//! Orders about versions, and watches of their rooms.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, header};
use actix_web::test::TestRequest;
use maestro_api::ManagementService;
use maestro_http::{gateway, server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connections::{LONG, connect, settings, short};
use crate::fleet::{Fleet, Server, TOKEN};

const VERSION: &str = "/schedulers/arena/versions/v1.0.0";

/// How many messages the owner of `arena` has been sent.
fn messages(fleet: &Fleet) -> u64 {
    let view = fleet.node.debug(Some("arena"));
    let owner = view.actors.first().expect("an owner");
    owner.handled.get("command").copied().unwrap_or_default()
}

#[actix_web::test]
async fn an_order_needs_the_token_and_a_read_of_states_does_not() {
    let fleet = Fleet::start(false).await;
    fleet.create(2).await;
    let there = async |fleet: &Fleet| fleet.runtime.rooms("arena").len() == 2;
    fleet.until("the rooms run", there).await;
    let before = messages(&fleet);
    for order in ["start", "stop", "publish", "unpublish"] {
        let answer = fleet
            .send(Method::POST, &format!("{VERSION}/{order}"), Value::Null)
            .await;
        assert_eq!((answer.status, answer.failure().1), (401, 16), "{order}");
    }
    let config = format!("{VERSION}/config");
    let pairs = json!({"config": [{"key": "A", "value": "1"}]});
    assert_eq!(fleet.send(Method::PUT, &config, pairs).await.status, 401);
    assert_eq!(fleet.get(&config).await.status, 401);
    assert_eq!(messages(&fleet), before, "nobody was asked");
    let state = fleet.get(&format!("{VERSION}/status")).await.ok();
    assert_eq!(state["state"], "PUBLISHED");
    let none = fleet.get("/schedulers/arena/versions/v9.0.0/status").await;
    assert_eq!((none.status, none.failure().1), (404, 5));
}

#[actix_web::test]
async fn only_an_empty_list_removes_all_pairs() {
    let fleet = Fleet::start(false).await;
    fleet.create(0).await;
    let config = format!("{VERSION}/config");
    let send = async |method: Method, path: &str, body: Value| {
        let token = (header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        let request = TestRequest::default().method(method).uri(path);
        let request = request.insert_header(token);
        let request = request.set_payload(body.to_string());
        fleet.raw(&Server::Management, request).await
    };
    let there = async |fleet: &Fleet| fleet.get(&format!("{VERSION}/status")).await.status == 200;
    fleet.until("the version is there", there).await;
    let start = format!("{VERSION}/start?wait=10s");
    send(Method::POST, &start, json!({})).await.ok();
    for body in [json!({}), json!({"config": null}), json!({"Config": []})] {
        let (status, code, text) = send(Method::PUT, &config, body.clone()).await.failure();
        assert_eq!((status, code), (400, 3), "{body}");
        assert!(text.contains("send an empty list"), "{text}");
    }
    let taken = send(Method::PUT, &config, json!({"config": []})).await;
    assert_eq!(taken.status, 202, "{taken:?}");
}

#[actix_web::test]
async fn a_client_that_left_ends_its_watch_within_a_second() {
    let fleet = Fleet::start(false).await;
    fleet.create(2).await;
    let there = async |fleet: &Fleet| fleet.runtime.rooms("arena").len() == 2;
    fleet.until("the rooms run", there).await;
    let (settings, address) = settings(short(), 16);
    let api = gateway::management(Arc::new(ManagementService::new(fleet.node.clone())));
    let server = server::management(settings, api, fleet.management_parts()).unwrap();
    actix_web::rt::spawn(server);
    let mut client = connect(address).await;
    let request = format!("GET {VERSION}/rooms/status/watch HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut buffer, mut text) = ([0; 4096], String::new());
    while text.matches("event: status").count() < 2 {
        let read = tokio::time::timeout(LONG, client.read(&mut buffer)).await;
        let read = read.expect("in time").expect("a stream");
        assert!(read > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(text.contains("\"status\":\"STARTING\""), "{text}");
    // It is asked again while somebody watches.
    let begun = messages(&fleet);
    let again = async |fleet: &Fleet| messages(fleet) > begun;
    fleet.until("another round", again).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let left = messages(&fleet);
    // Longer than a round.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(messages(&fleet), left, "somebody still asks");
}
