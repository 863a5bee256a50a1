//! gRPC on the built binary, with a client that knows only what reflection reports (decision D13). It must get exactly
//! the answers that HTTP gives.

#[path = "support/grpc.rs"]
mod grpc;
mod support;

use grpc::GrpcClient;
use serde_json::{Value, json};
use support::{Home, Maestro, eventually, history, seconds};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// HTTP prints `null` for messages that are unset, the client's JSON leaves them out; and it prints 32-bit floats with
/// all the digits of 64 bits.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, plain(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Number(n) => json!(n.as_f64().map(|n| n as f32)),
        other => other,
    }
}

/// Makes a call over both transports and compares; returns the answer.
async fn same(
    maestro: &Maestro,
    grpc: &GrpcClient,
    method: &str,
    body: Value,
    path: &str,
) -> Value {
    let (status, http) = maestro.get(path).await;
    assert_eq!(status, 200, "{http}");
    let answer = grpc.call(method, body).await.expect(method);
    assert_eq!(plain(answer.clone()), plain(http), "{method}");
    answer
}

/// A scheduler with every field of the message set.
fn full(mut fleet: Value) -> Value {
    fleet["annotations"] = json!({"imageregistry": "docker.io"});
    fleet["labels"] = json!({"team": "a"});
    fleet["matchAllocation"] = json!({"maxMatches": 1});
    fleet["forwarders"] = json!([{
        "name": "mm", "enable": false, "type": "gRPC", "address": "127.0.0.1:1",
        "options": {"timeout": "1500", "metadata": {"roomType": "green", "weights": [1, {"x": null}]}},
    }]);
    fleet["autoscaling"] = json!({
        "enabled": false, "min": 1, "max": 3, "cooldown": 7,
        "policy": {"type": "roomOccupancy", "parameters": {"roomOccupancy": {"readyTarget": 0.5}}},
    });
    fleet["spec"]["containers"][0]["environment"] = json!([
        {"name": "A", "value": ""},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleets_life_is_the_same_over_grpc() {
    let home = Home::new();
    let maestro = home.start();
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    let order = full(home.fleet("arena", 1));
    create(&maestro, &grpc, &order).await;
    read(&maestro, &grpc, &order).await;
    let patch = patch(&maestro, &grpc).await;
    switch_back(&maestro, &grpc, patch).await;
    cancel(&maestro, &grpc).await;
    delete(&grpc).await;
}

fn arena() -> Value {
    json!({"schedulerName": "arena"})
}

async fn create(maestro: &Maestro, grpc: &GrpcClient, order: &Value) {
    let made = grpc
        .send(
            "SchedulersService/CreateScheduler",
            order.clone(),
            &[("x-request-id", "made-by-grpc")],
        )
        .await;
    let (made, metadata) = made.expect("it is created");
    assert_eq!(made["scheduler"]["name"], "arena");
    let id = metadata.get("x-request-id").expect("an id");
    assert_eq!(id, "made-by-grpc");
    let told = eventually(seconds(10), || async {
        let log = maestro.logged();
        log.lines().any(|line| {
            let of = |part: &str| line.contains(part);
            of("made-by-grpc") && of(r#""scheduler_name":"arena""#) && of("/CreateScheduler\"")
        })
    });
    assert!(told.await, "{}", maestro.logged());
    maestro.wait_ready("arena", 1).await;
}

async fn read(maestro: &Maestro, grpc: &GrpcClient, order: &Value) {
    let read = same(
        maestro,
        grpc,
        "SchedulersService/GetScheduler",
        arena(),
        "/schedulers/arena",
    )
    .await;
    for part in ["annotations", "labels", "matchAllocation"] {
        assert_eq!(read["scheduler"][part], order[part], "{part}");
    }
    let forwarder = &read["scheduler"]["forwarders"][0];
    let options = &order["forwarders"][0]["options"];
    assert_eq!(plain(forwarder["options"].clone()), plain(options.clone()));
    let environment = &read["scheduler"]["spec"]["containers"][0]["environment"];
    assert_eq!(
        plain(environment.clone()),
        json!([{"name": "A"}, order["spec"]["containers"][0]["environment"][1]])
    );
    same(
        maestro,
        grpc,
        "SchedulersService/ListSchedulers",
        json!({"game": "tests"}),
        "/schedulers?game=tests",
    )
    .await;
    same(
        maestro,
        grpc,
        "SchedulersService/GetSchedulersInfo",
        json!({}),
        "/schedulers/info",
    )
    .await;
}

/// Patches the scheduler; returns the request for its operation.
async fn patch(maestro: &Maestro, grpc: &GrpcClient) -> Value {
    let patch = json!({"name": "arena", "maxSurge": "50%", "autoscaling": {"cooldown": 9}});
    let named = [("x-request-id", "patched-by-grpc")];
    let patched = grpc
        .send("SchedulersService/PatchScheduler", patch, &named)
        .await;
    let (patched, _) = patched.expect("a patch");
    let id = patched["operationId"].as_str().expect("an id").to_owned();
    let ended = maestro.ended("arena", &id).await;
    assert_eq!(ended["status"], "finished");
    assert!(history(&ended).contains("patched-by-grpc"), "{ended}");
    let operation = json!({"schedulerName": "arena", "operationId": id});
    let path = format!("/schedulers/arena/operations/{id}");
    same(
        maestro,
        grpc,
        "OperationsService/GetOperation",
        operation.clone(),
        &path,
    )
    .await;
    let versions = same(
        maestro,
        grpc,
        "SchedulersService/GetSchedulerVersions",
        arena(),
        "/schedulers/arena/versions",
    )
    .await;
    assert_eq!(versions["versions"][0]["version"], "v1.1.0");
    let read = same(
        maestro,
        grpc,
        "SchedulersService/GetScheduler",
        arena(),
        "/schedulers/arena",
    )
    .await;
    assert_eq!(read["scheduler"]["autoscaling"]["cooldown"], 9);
    assert_eq!(
        read["scheduler"]["autoscaling"]["max"], 3,
        "what a patch leaves out stays"
    );
    operation
}

/// Switches to the version before the patch, which has ended already.
async fn switch_back(maestro: &Maestro, grpc: &GrpcClient, patch: Value) {
    let back = json!({"schedulerName": "arena", "version": "v1.0.0"});
    let switched = grpc
        .call("SchedulersService/SwitchActiveVersion", back)
        .await
        .expect("a switch");
    let id = switched["operationId"].as_str().expect("an id");
    assert_eq!(maestro.ended("arena", id).await["status"], "finished");
    let stage = json!({"schedulerName": "arena", "stage": "final", "perPage": 2});
    let path = "/schedulers/arena/operations?stage=final&perPage=2";
    same(
        maestro,
        grpc,
        "OperationsService/ListOperations",
        stage,
        path,
    )
    .await;
    let late = grpc.call("OperationsService/CancelOperation", patch).await;
    assert_eq!(late.expect_err("it has ended").code(), Code::Aborted);
}

async fn cancel(maestro: &Maestro, grpc: &GrpcClient) {
    let test = maestro.test_operation("arena", 600).await;
    let cancel = json!({"schedulerName": "arena", "operationId": test});
    let running = eventually(seconds(10), || async {
        maestro
            .operations("arena", "active")
            .await
            .iter()
            .any(|o| o["id"] == test.as_str())
    });
    assert!(running.await);
    let cancelled = grpc.call("OperationsService/CancelOperation", cancel).await;
    assert_eq!(cancelled.expect("it is"), json!({}));
    assert_eq!(maestro.ended("arena", &test).await["status"], "canceled");
}

async fn delete(grpc: &GrpcClient) {
    let gone = grpc
        .call("SchedulersService/DeleteScheduler", arena())
        .await
        .expect("a deletion");
    assert!(gone["operationId"].is_string());
    let gone = eventually(seconds(30), || async {
        let read = grpc.call("SchedulersService/GetScheduler", arena()).await;
        read.is_err_and(|error| error.code() == Code::NotFound)
    });
    assert!(gone.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_matchmakers_are_served_over_grpc() {
    let home = Home::new();
    let maestro = home.start();
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    maestro.bring_up(&home.fleet("arena", 1)).await;
    let taken = grpc
        .call(
            "RoomsService/AllocateRoom",
            json!({"schedulerName": "arena"}),
        )
        .await;
    let taken = taken.expect("a room");
    assert_eq!(taken["success"], true);
    let room = taken["roomId"].as_str().unwrap().to_owned();
    let none = grpc
        .call(
            "RoomsService/AllocateRoom",
            json!({"schedulerName": "arena"}),
        )
        .await;
    let (status, http) = maestro.allocate("arena").await;
    let none = none.unwrap_err();
    assert_eq!((none.code(), status), (Code::Unavailable, 503));
    assert_eq!(none.message(), http["message"]);

    let place = json!({"schedulerName": "arena", "roomName": room});
    let address = grpc
        .call("RoomsService/GetRoomAddress", place)
        .await
        .expect("an address");
    let url = format!("{}/scheduler/arena/rooms/{room}/address", maestro.rooms);
    let (_, http) = maestro.call("GET", &url, None).await;
    assert_eq!(address, http);
    assert_eq!(address["ports"], taken["ports"]);

    let ping = |status: &str| {
        json!({
            "schedulerName": "arena", "roomName": room, "status": status, "timestamp": "1", "runningMatches": 1,
            "metadata": {"map": "dust", "players": [1, 2.5, true, null, {"deep": {"er": "yes"}}]},
        })
    };
    let heard = grpc
        .call("RoomsService/UpdateRoomWithPing", ping("ready"))
        .await;
    assert_eq!(heard.unwrap(), json!({"success": true}));
    let refused = grpc
        .call("RoomsService/UpdateRoomWithPing", ping("pending"))
        .await
        .unwrap_err();
    let (_, http) = maestro.ping("arena", &room, &ping("pending")).await;
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), http["message"]);
    for method in ["ForwardRoomEvent", "ForwardPlayerEvent"] {
        let event =
            json!({"schedulerName": "arena", "roomName": room, "event": "e", "metadata": {"a": 1}});
        let told = grpc
            .call(&format!("RoomsService/{method}"), event)
            .await
            .unwrap();
        assert_eq!(told, json!({"success": true, "message": ""}), "{method}");
    }
    let status = json!({"schedulerName": "arena", "roomName": room, "status": "ready"});
    let told = grpc.call("RoomsService/UpdateRoomStatus", status).await;
    assert_eq!(told.unwrap(), json!({"success": true}));
    maestro.remove("arena").await;
}

/// A call with a mistake, its HTTP request, and the expected code of both answers.
type Mistake = (&'static str, Value, &'static str, String, Code);

/// Mistakes in calls of a scheduler; `order` was created before.
fn scheduler_mistakes(order: &Value) -> Vec<Mistake> {
    let mut bad = order.clone();
    bad["name"] = json!("Not A Name");
    bad["maxSurge"] = json!("");
    let ghost = json!({"schedulerName": "ghost"});
    vec![
        (
            "SchedulersService/CreateScheduler",
            order.clone(),
            "POST",
            "/schedulers".to_owned(),
            Code::AlreadyExists,
        ),
        (
            "SchedulersService/CreateScheduler",
            bad,
            "POST",
            "/schedulers".into(),
            Code::InvalidArgument,
        ),
        (
            "SchedulersService/GetScheduler",
            ghost.clone(),
            "GET",
            "/schedulers/ghost".into(),
            Code::NotFound,
        ),
        (
            "SchedulersService/GetSchedulerVersions",
            ghost.clone(),
            "GET",
            "/schedulers/ghost/versions".into(),
            Code::NotFound,
        ),
        (
            "SchedulersService/DeleteScheduler",
            ghost.clone(),
            "DELETE",
            "/schedulers/ghost".into(),
            Code::NotFound,
        ),
        (
            "SchedulersService/PatchScheduler",
            json!({"name": "arena"}),
            "PATCH",
            "/schedulers/arena".into(),
            Code::AlreadyExists,
        ),
        (
            "SchedulersService/PatchScheduler",
            json!({"name": "arena", "maxSurge": ""}),
            "PATCH",
            "/schedulers/arena".into(),
            Code::InvalidArgument,
        ),
    ]
}

fn operation_mistakes() -> Vec<Mistake> {
    let id = "7f6ad3a5-5b6e-4a68-8b0c-8ba4f2d2a6c1";
    vec![
        (
            "OperationsService/ListOperations",
            json!({"schedulerName": "arena"}),
            "GET",
            "/schedulers/arena/operations".into(),
            Code::InvalidArgument,
        ),
        (
            "OperationsService/ListOperations",
            json!({"schedulerName": "arena", "stage": "active", "page": 1}),
            "GET",
            "/schedulers/arena/operations?stage=active&page=1".into(),
            Code::InvalidArgument,
        ),
        (
            "OperationsService/GetOperation",
            json!({"schedulerName": "arena", "operationId": id}),
            "GET",
            format!("/schedulers/arena/operations/{id}"),
            Code::NotFound,
        ),
        (
            "OperationsService/CancelOperation",
            json!({"schedulerName": "arena", "operationId": id}),
            "POST",
            format!("/schedulers/arena/operations/{id}/cancel"),
            Code::NotFound,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_as_over_http() {
    let home = Home::new();
    let maestro = home.start_with(&[("MAESTRO_WORKERS_PAUSED", "true")]);
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    let order = home.fleet("arena", 0);
    let created = grpc
        .call("SchedulersService/CreateScheduler", order.clone())
        .await;
    assert!(created.is_ok(), "{created:?}");
    let all = [scheduler_mistakes(&order), operation_mistakes()].concat();
    for (method, body, verb, path, code) in all {
        let url = format!("{}{path}", maestro.management);
        let (_, http) = maestro.call(verb, &url, Some(&body)).await;
        let grpc = grpc.call(method, body).await.expect_err(method);
        assert_eq!(grpc.code(), code, "{method}: {grpc:?}");
        assert_eq!(json!(i32::from(grpc.code())), http["code"], "{method}");
        assert_eq!(json!(grpc.message()), http["message"], "{method}");
    }
    let large = json!({"schedulerName": "x".repeat(2 << 20)});
    let large = grpc
        .call("SchedulersService/GetScheduler", large)
        .await
        .unwrap_err();
    assert_eq!(large.code(), Code::ResourceExhausted, "{large:?}");
    let after = grpc
        .call("SchedulersService/ListSchedulers", json!({}))
        .await;
    assert!(after.is_ok(), "the connection lives: {after:?}");
    let odd = grpc
        .send(
            "SchedulersService/ListSchedulers",
            json!({}),
            &[("grpc-timeout", "soon")],
        )
        .await;
    assert_eq!(odd.unwrap_err().message(), "invalid grpc-timeout: soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_and_health_tell_what_is_there() {
    let home = Home::new();
    let maestro = home.start();
    let grpc = GrpcClient::connect(&maestro.grpc).await;
    for service in [
        "api.v1.OperationsService",
        "api.v1.RoomsService",
        "api.v1.SchedulersService",
        "grpc.health.v1.Health",
        "maestro.v1.FleetService",
        "maestro.v1.OperatorService",
        "resourcemetrics.ResourceMetricsService",
        "runtime.RuntimeService",
        "version.VersionService",
    ] {
        assert!(
            grpc.services.iter().any(|s| s == service),
            "{:?}",
            grpc.services
        );
    }
    // Calls that change a process are for nodes only, and reflection does not list them.
    let control = |service: &String| service.contains("Control");
    assert!(!grpc.services.iter().any(control), "{:?}", grpc.services);
    let mut health = HealthClient::new(grpc.channel.clone());
    for service in [
        "",
        "api.v1.RoomsService",
        "maestro.v1.FleetService",
        "maestro.v1.OperatorService",
        "resourcemetrics.ResourceMetricsService",
        "runtime.RuntimeService",
        "version.VersionService",
    ] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status().as_str_name(), "SERVING");
    }
    // A watching client is told of the shutdown, and does not delay it.
    let service = String::new();
    let watched = health.watch(HealthCheckRequest { service }).await.unwrap();
    let mut watched = watched.into_inner();
    let now = watched.message().await.unwrap().expect("a state");
    assert_eq!(now.status().as_str_name(), "SERVING");
    let stopped = tokio::task::spawn_blocking(move || maestro.stop());
    let then = watched.message().await.unwrap().expect("a state");
    assert_eq!(then.status().as_str_name(), "NOT_SERVING");
    assert!(stopped.await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_told_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let home = Home::new();
    let refused = home.try_start(&[("MAESTRO_GRPC_PORT", &port)]);
    let said = refused.err().expect("it is refused");
    assert!(said.contains("MAESTRO_GRPC_PORT"), "{said}");
}
