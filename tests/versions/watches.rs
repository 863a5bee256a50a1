//! Watches of the statuses of rooms, and who may give orders.

use futures_util::StreamExt;
use maestro_api::codec::messages::version::NodeStatusRequest;
use maestro_api::{Code, RequestContext, VersionsApi};

use crate::grpc::GrpcClient;
use crate::*;

const WATCH: &str = "rooms/status/watch";

/// The statuses that a stream of server-sent events tells, until it has told so many.
async fn events(answer: &mut reqwest::Response, count: usize) -> Vec<(String, String)> {
    let mut text = String::new();
    while text.matches("event: status\n").count() < count || !text.ends_with("\n\n") {
        let chunk = answer.chunk().await.expect("a chunk").expect("more");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| {
        let node: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(node["nodeId"], node["name"], "{node}");
        let word = |field: &str| node[field].as_str().expect("text").to_owned();
        (word("nodeId"), word("status"))
    })
    .collect()
}

/// Pings for a room until it counts: its process may not be known yet.
async fn until_ready(maestro: &Maestro, room: &str) {
    let came = eventually(seconds(30), async || {
        ping(maestro, room, "ready").await;
        let path = format!("/schedulers/arena/rooms/{room}");
        maestro.get(&path).await.1["room"]["status"] == "ready"
    });
    assert!(came.await, "{room}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_the_present_state_and_then_what_changes() {
    let home = Home::new();
    let maestro = home.start();
    assert_eq!(
        maestro
            .post("/schedulers", &home.mute_fleet("arena", 2))
            .await
            .0,
        200
    );
    let there = eventually(seconds(30), async || rooms(&maestro, V1).await.len() == 2);
    assert!(there.await);
    let all = rooms(&maestro, V1).await;
    until_ready(&maestro, &all[0]).await;

    let url = format!("{}{}", maestro.management, path(V1, WATCH));
    let mut answer = maestro.http.get(url).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let client = maestro_grpc::GrpcClient::new(&maestro.grpc).expect("a URL");
    let request = NodeStatusRequest {
        namespace: "arena".into(),
        versionName: V1.into(),
    };
    let context = RequestContext::internal();
    let watch = client.watch_node_status(&context, request).await;
    let mut watch = watch.expect("a stream");
    let mut next = async || {
        let node = watch.next().await.expect("one more").expect("no end");
        (node.nodeId, node.status)
    };
    let word = |room: &String, status: &str| (room.clone(), status.to_owned());
    let mut first = vec![next().await, next().await];
    first.sort();
    let mut expected = vec![word(&all[0], "STARTED"), word(&all[1], "STARTING")];
    expected.sort();
    assert_eq!(first, expected);
    let mut first = events(&mut answer, 2).await;
    first.sort();
    assert_eq!(first, expected);

    until_ready(&maestro, &all[1]).await;
    assert_eq!(next().await, word(&all[1], "STARTED"));
    assert_eq!(events(&mut answer, 1).await, [word(&all[1], "STARTED")]);
    // One ends, and another one takes its place.
    let url = format!("/schedulers/arena/rooms/{}?force=true", all[0]);
    assert_eq!(maestro.delete(&url).await.0, 200);
    let mut told = vec![next().await, next().await];
    told.sort();
    assert!(told.contains(&word(&all[0], "STOPPED")), "{told:?}");

    let unknown = NodeStatusRequest {
        namespace: "arena".into(),
        versionName: "v9.0.0".into(),
    };
    let refused = client.watch_node_status(&context, unknown).await;
    assert_eq!(
        refused.err().map(|status| status.code),
        Some(Code::NotFound)
    );
    assert_eq!(maestro.get(&path("v9.0.0", WATCH)).await.0, 404);
}

/// The process ends in time although clients watch and wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_process_ends_watches_and_waits() {
    let home = Home::new();
    let maestro = home.start();
    assert_eq!(
        maestro
            .post("/schedulers", &home.mute_fleet("arena", 1))
            .await
            .0,
        200
    );
    let there = eventually(seconds(30), async || rooms(&maestro, V1).await.len() == 1);
    assert!(there.await);
    let url = |path: String| format!("{}{path}", maestro.management);
    let watch = maestro
        .http
        .get(url(path(V1, WATCH)))
        .send()
        .await
        .expect("an answer");
    let waiting = maestro.http.post(url(path(V1, "start?wait=1h"))).send();
    let waiting = tokio::spawn(waiting);
    until_state(&maestro, V1, "STARTING").await;
    let stopped = tokio::task::spawn_blocking(move || maestro.stop());
    let told = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(told.status(), 503);
    let text = told.text().await.expect("a body");
    assert!(
        text.contains("shutting down") && text.contains("goes on"),
        "{text}"
    );
    let rest = watch.text().await.unwrap_or_default();
    assert!(rest.contains("event: error"), "{rest}");
    assert!(stopped.await.expect("no panic").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_orders_need_it_and_reads_do_not() {
    let home = Home::new();
    let token = "known-to-operators";
    let maestro = home.start_with(&[("MAESTRO_K8SMANAGER_TOKEN", token)]);
    maestro.bring_up(&home.fleet("arena", 1)).await;
    let stop = path(V1, "start");
    for path in [&stop, &path(V1, "publish"), &path(V1, "stop")] {
        let (status, answer) = maestro.post(path, &json!({})).await;
        assert_eq!((status, &answer["code"]), (401, &json!(16)), "{answer}");
    }
    assert_eq!(configure(&maestro, V1, "", json!([])).await.0, 401);
    assert_eq!(maestro.get(&path(V1, "config")).await.0, 401);
    assert_eq!(state(&maestro, V1).await, "PUBLISHED", "reads need none");
    let url = format!("{}{stop}?wait=30s", maestro.management);
    let with = |token: &str| maestro.http.post(&url).bearer_auth(token).send();
    assert_eq!(
        with("known-to-operatorz")
            .await
            .expect("an answer")
            .status(),
        401
    );
    assert_eq!(with(token).await.expect("an answer").status(), 200);

    let grpc = GrpcClient::connect(&maestro.grpc).await;
    let version = json!({"version": {"name": V1, "namespace": "arena"}});
    let publish = "version.VersionService/Publish";
    let refused = grpc
        .call(publish, version.clone())
        .await
        .expect_err("no token");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{refused:?}");
    let bearer = format!("Bearer {token}");
    let done = grpc
        .send(publish, version, &[("authorization", &bearer)])
        .await;
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(state(&maestro, V1).await, "PUBLISHED");
    assert!(!maestro.logged().contains(token));
}
