//! Runtimes that are created by themselves, by a process on a cluster.

use crate::site::*;
use crate::support::{Home, eventually, seconds};
use maestro_api::codec::messages::runtime::{Request, Runtime};
use maestro_api::{Code, RequestContext, RuntimeApi};
use maestro_grpc::GrpcClient;
use serde_json::json;
use std::time::{Duration, Instant};

fn about(namespace: &str, wait_seconds: i32) -> Request {
    Request {
        runtime: Some(Runtime {
            name: "a runtime".to_owned(),
            namespace: namespace.to_owned(),
            ..Runtime::default()
        }),
        wait_seconds,
    }
}

fn context(patience: Duration) -> RequestContext {
    RequestContext {
        deadline: Some(Instant::now() + patience),
        ..RequestContext::internal()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_is_created_without_a_scheduler_which_adopts_it() {
    let Some(site) = Site::open("runtime", 1).await else {
        return;
    };
    let home = Home::new();
    let mut environment = site.environment();
    let operator = ("MAESTRO_RUNTIME_OPERATOR_ENABLED", "false");
    environment.push((operator.0.to_owned(), operator.1.to_owned()));
    let maestro = home.start_with(&borrowed(&environment));
    let grpc = GrpcClient::new(&maestro.grpc).unwrap();
    let internal = RequestContext::internal();
    let unknown = grpc.runtime_status(&internal, about("runtime", -1)).await;
    assert_eq!(unknown.unwrap_err().code, Code::NotFound);
    let made = grpc.create(&internal, about("runtime", 0)).await.unwrap();
    assert_eq!(made.status, "finished", "{made:?}");
    let again = grpc.create(&internal, about("runtime", 0)).await.unwrap();
    assert_ne!(again.operation_id, made.operation_id);
    let status = grpc.runtime_status(&internal, about("runtime", 0)).await;
    let status = status.unwrap();
    assert_eq!(status.Status, "STARTED", "{status:?}");
    for wrong in [Request::default(), about("No Name", 0)] {
        let refused = grpc.create(&internal, wrong).await;
        assert_eq!(refused.unwrap_err().code, Code::InvalidArgument);
    }
    let foreign = grpc.create(&internal, about("kube-system", 0)).await;
    assert_eq!(foreign.unwrap_err().code, Code::AlreadyExists);
    let foreign = grpc
        .runtime_status(&internal, about("kube-system", -1))
        .await;
    assert_eq!(
        foreign.unwrap_err().code,
        Code::NotFound,
        "nothing was made"
    );
    // The next process knows the runtime, and the scheduler adopts it.
    drop(maestro);
    let maestro = home.start_with(&borrowed(&environment));
    let (code, status) = maestro
        .call(
            "GET",
            &format!("{}/schedulers/runtime/runtime/status", maestro.management),
            None,
        )
        .await;
    assert_eq!(
        (code, &status["Status"]),
        (200, &json!("STARTED")),
        "{status}"
    );
    maestro
        .bring_up(&site.fleet(&home, &maestro.rooms, 1))
        .await;
    site.plane
        .kubectl(&["get", "role", "maestro-runtime", "-n", "runtime"])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_whose_operator_is_never_ready_is_in_error_after_its_time() {
    let Some(site) = Site::open("unready", 1).await else {
        return;
    };
    if !site.plane.is_own_or_skip() {
        return;
    }
    let definition = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/kubernetes/common/runtime-definition.yaml"
    );
    site.plane
        .kubectl(&["apply", "--server-side", "-f", definition])
        .unwrap();
    let known = || async { site.plane.kubectl(&["get", "runtimes", "-A"]).is_ok() };
    assert!(eventually(seconds(30), known).await);
    let home = Home::new();
    let mut environment = site.environment();
    for (key, value) in [
        ("MAESTRO_RUNTIME_STATUSTIMEOUT", "6s"),
        ("MAESTRO_KUBERNETES_OPERATOR_IMAGE", LOST_IMAGE),
    ] {
        environment.push((key.to_owned(), value.to_owned()));
    }
    let maestro = home.start_with(&borrowed(&environment));
    let grpc = GrpcClient::new(&maestro.grpc).unwrap();
    let began = Instant::now();
    grpc.create(&RequestContext::internal(), about("unready-rt", 0))
        .await
        .unwrap();
    let patience = context(seconds(2));
    let soon = grpc.runtime_status(&patience, about("unready-rt", 0)).await;
    let soon = soon.unwrap();
    assert!(
        soon.Status == "CREATING" || began.elapsed() > seconds(6),
        "{soon:?}"
    );
    let patience = context(seconds(60));
    let late = grpc.runtime_status(&patience, about("unready-rt", 0)).await;
    let late = late.unwrap();
    assert_eq!(late.Status, "ERROR", "{late:?}");
    assert!(began.elapsed() < seconds(50), "it hung");
    let said = late.conditions.join("\n");
    assert!(said.contains("Operator: not ready"), "{said}");
    maestro
        .call(
            "DELETE",
            &format!("{}/schedulers/unready-rt", maestro.management),
            None,
        )
        .await;
    let gone = || async {
        let found = site.plane.kubectl(&["get", "namespace", "unready-rt"]);
        found.is_err()
    };
    assert!(
        eventually(seconds(90), gone).await,
        "it is removed with its name"
    );
}
