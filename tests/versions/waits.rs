//! Orders that take longer than their callers wait, that are canceled, and that outlive the process.

use crate::grpc::GrpcClient;
use crate::*;

/// A fleet whose rooms do not ping: the test does.
async fn mute(home: &Home) -> Maestro {
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
    maestro
}

async fn status_of(maestro: &Maestro, operation: &str) -> Value {
    let path = format!("/schedulers/arena/operations/{operation}");
    let (status, answer) = maestro.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    answer["operation"]["status"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_goes_on_when_nobody_waits_for_it_any_more() {
    let home = Home::new();
    let maestro = mute(&home).await;
    let url = format!("{}{}", maestro.management, path(V1, "start?wait=300ms"));
    let late = maestro.http.post(url).send().await.expect("an answer");
    assert_eq!(late.status(), 504);
    let header = late.headers()["maestro-operation"]
        .to_str()
        .expect("text")
        .to_owned();
    let body: Value = late.json().await.expect("JSON");
    assert_eq!(body["code"], 4, "{body}");
    assert!(
        body["message"]
            .as_str()
            .is_some_and(|text| text.contains(&header)),
        "{body}"
    );
    assert_eq!(status_of(&maestro, &header).await, "in_progress");
    ping_until(&maestro, V1, "STARTED").await;
    assert_eq!(maestro.ended("arena", &header).await["status"], "finished");

    // A stop waits for the match, longer than this caller does.
    let busy = rooms(&maestro, V1).await.swap_remove(0);
    ping(&maestro, &busy, "occupied").await;
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    let version = json!({"version": {"name": V1, "namespace": "arena"}});
    let stop = "version.VersionService/Stop";
    let late = grpc
        .send(stop, version.clone(), &[("grpc-timeout", "1S")])
        .await;
    let late = late.expect_err("too late");
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded, "{late:?}");
    let id = late.metadata().get("maestro-operation").expect("an id");
    let id = id.to_str().expect("text").to_owned();
    assert!(late.message().contains(&id), "{late:?}");
    assert_eq!(state(&maestro, V1).await, "STOPPING");
    // The same order again is the same operation, and a forced one does not wait for the match.
    let forced = json!({"version": version["version"], "force": true});
    let answer = grpc.call(stop, forced).await.expect("it is stopped");
    assert_eq!(answer["operation_id"], id.as_str(), "{answer}");
    assert_eq!(state(&maestro, V1).await, "STOPPED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_order_and_one_under_way_are_canceled() {
    let home = Home::new();
    let maestro = mute(&home).await;
    // A validation, whose room does not ping, holds the lane.
    let patch =
        json!({"spec": {"containers": [{"environment": [{"name": "BUILD", "value": "2"}]}]}});
    let edit = Maestro::id(&maestro.patch("/schedulers/arena", &patch).await);
    let (status, ordered) = maestro.post(&path(V1, "start"), &json!({})).await;
    assert_eq!(status, 202, "{ordered}");
    let id = ordered["operation_id"].as_str().expect("an id");
    assert_eq!(status_of(&maestro, id).await, "pending");
    let cancel = async |id: &str| {
        let url = format!("/schedulers/arena/operations/{id}/cancel");
        assert_eq!(maestro.post(&url, &json!({})).await.0, 200);
        let ended = maestro.ended("arena", id).await;
        assert_eq!(ended["status"], "canceled", "{}", history(&ended));
    };
    cancel(id).await;
    cancel(&edit).await;
    assert_eq!(
        state(&maestro, V1).await,
        "PUBLISHED",
        "nothing was changed"
    );

    let waiting = maestro.http.post(format!(
        "{}{}",
        maestro.management,
        path(V1, "start?wait=60s")
    ));
    let waiting = tokio::spawn(waiting.send());
    until_state(&maestro, V1, "STARTING").await;
    let open = maestro.operations("arena", "active").await;
    cancel(open[0]["id"].as_str().expect("an id")).await;
    let told = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(told.status(), 409, "whoever waits is told");
    assert_eq!(state(&maestro, V1).await, "STOPPED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_stop_go_on_after_the_process_was_killed() {
    let home = Home::new();
    let maestro = mute(&home).await;
    let (status, ordered) = maestro.post(&path(V1, "start"), &json!({})).await;
    assert_eq!(status, 202, "{ordered}");
    let id = ordered["operation_id"].as_str().expect("an id").to_owned();
    until_state(&maestro, V1, "STARTING").await;
    maestro.kill();
    let maestro = home.start();
    let back = eventually(seconds(30), async || {
        state(&maestro, V1).await == "STARTING"
    });
    assert!(back.await);
    assert_eq!(status_of(&maestro, &id).await, "in_progress");
    ping_until(&maestro, V1, "STARTED").await;
    let ended = maestro.ended("arena", &id).await;
    assert_eq!(ended["status"], "finished", "{}", history(&ended));

    let busy = rooms(&maestro, V1).await.swap_remove(0);
    ping(&maestro, &busy, "occupied").await;
    let (status, ordered) = maestro.post(&path(V1, "stop"), &json!({})).await;
    assert_eq!(status, 202, "{ordered}");
    let id = ordered["operation_id"].as_str().expect("an id").to_owned();
    until_state(&maestro, V1, "STOPPING").await;
    maestro.kill();
    let maestro = home.start();
    let back = eventually(seconds(30), async || {
        rooms(&maestro, V1).await == [busy.clone()]
    });
    assert!(back.await, "{:?}", rooms(&maestro, V1).await);
    assert_eq!(state(&maestro, V1).await, "STOPPING");
    ping(&maestro, &busy, "ready").await;
    let ended = maestro.ended("arena", &id).await;
    assert_eq!(ended["status"], "finished", "{}", history(&ended));
    assert_eq!(state(&maestro, V1).await, "STOPPED");
    assert!(rooms(&maestro, V1).await.is_empty());
}
