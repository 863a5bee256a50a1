//! Nodes that call each other by TLS (`cluster.tls.*`): real processes on one Postgres and one Redis.

mod support;

use maestro_api::codec::messages::PauseSchedulerRequest;
use maestro_api::{Code, Peers, RequestContext, Status};
use maestro_grpc::{GrpcPeers, NodeTls, TlsFiles};
use maestro_testkit::certificates::{Authority, Signed};
use serde_json::json;
use support::stores::Stores;
use support::{Home, Maestro, eventually, seconds};
use tokio::runtime::Handle;

const NAME: &str = "maestro-node";

/// A module with a certificate of its own.
fn start(stores: &Stores, module: &str, home: &Home, ca: &Authority, file: &str) -> Maestro {
    let Signed { cert, key } = ca.sign(file, NAME);
    let files = [cert, key, ca.ca()].map(|file| file.display().to_string());
    let environment = [
        ("MAESTRO_CLUSTER_TLS_CERT", files[0].as_str()),
        ("MAESTRO_CLUSTER_TLS_KEY", &files[1]),
        ("MAESTRO_CLUSTER_TLS_CA", &files[2]),
    ];
    stores.module(module, home, &environment)
}

/// Pauses the fleet as a node would, at this address.
async fn pause(address: &str, tls: Option<NodeTls>) -> Result<(), Status> {
    let peers = GrpcPeers::new(None, Handle::current()).by_certificate(tls);
    let request = PauseSchedulerRequest {
        scheduler_name: "north".into(),
    };
    let (operator, context) = (peers.at(address)?.operator, RequestContext::internal());
    let paused = operator.pause_scheduler(&context, request);
    paused.await.map(|_| ())
}

fn opened(ca: &Authority, signer: &Authority, file: &str) -> NodeTls {
    let Signed { cert, key } = signer.sign(file, NAME);
    let (ca, name) = (ca.ca(), NAME.into());
    NodeTls::open(TlsFiles {
        cert,
        key,
        ca,
        name,
    })
    .expect("good files")
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_certificates_are_one_maestro_and_others_are_kept_out() {
    let (Some(ca), Some(foreign)) = (Authority::new(), Authority::new()) else {
        return;
    };
    let Some(stores) = Stores::start().await else {
        return;
    };
    let home = Home::new();
    let worker = start(&stores, "worker", &home, &ca, "worker");
    let address = stores.postgres.ask("SELECT address FROM maestro_node");
    let [address] = &address[..] else {
        panic!("one node: {address:?}");
    };
    // These never own a scheduler, so all that they answer comes from the worker.
    let management = start(&stores, "management-api", &home, &ca, "management");
    let rooms = start(&stores, "rooms-api", &home, &ca, "rooms");
    let fleet = home.mute_fleet("north", 1);
    let created = || async { management.post("/schedulers", &fleet).await.0 == 200 };
    assert!(
        eventually(seconds(30), created).await,
        "{}",
        management.logged()
    );
    let pinged = || async {
        let (_, there) = management.get("/schedulers/north/rooms").await;
        for room in there["rooms"].as_array().into_iter().flatten() {
            let ping = json!({"status": "ready", "timestamp": 1});
            rooms
                .ping("north", room["id"].as_str().expect("an id"), &ping)
                .await;
        }
        management.ready_rooms("north").await == 1
    };
    assert!(eventually(seconds(30), pinged).await, "{}", rooms.logged());
    let (status, allocated) = rooms.allocate("north").await;
    assert_eq!(
        (status, &allocated["success"]),
        (200, &json!(true)),
        "{allocated}"
    );

    // Without TLS, nobody is heard, and is told what to do.
    let refused = pause(address, None)
        .await
        .expect_err("it has no certificate");
    assert_eq!(refused.code, Code::Unavailable, "{refused}");
    assert!(
        refused.message.contains("set cluster.tls.cert"),
        "{refused}"
    );
    let stranger = opened(&foreign, &foreign, "stranger");
    let refused = pause(address, Some(stranger))
        .await
        .expect_err("a foreign one");
    assert!(refused.message.contains("is refused"), "{refused}");
    assert!(
        worker.logged().contains("it came without TLS"),
        "{}",
        worker.logged()
    );
    let plain = stores.module("management-api", &home, &[]);
    let (status, told) = plain
        .patch("/schedulers/north", &json!({"roomsReplicas": 2}))
        .await;
    assert_eq!(status, 503, "{told}");
    assert!(told.to_string().contains("set cluster.tls.cert"), "{told}");
    // The same call is heard from a node.
    assert_eq!(pause(address, Some(opened(&ca, &ca, "node"))).await, Ok(()));

    for maestro in [plain, rooms, management, worker] {
        assert!(maestro.stop().success());
    }
}

/// The certificates and the authority are changed while the nodes run, as the page says.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_rotated_while_nodes_run() {
    let (Some(ca), Some(next)) = (Authority::new(), Authority::new()) else {
        return;
    };
    let Some(stores) = Stores::start().await else {
        return;
    };
    let home = Home::new();
    let worker = start(&stores, "worker", &home, &ca, "worker");
    let address = stores
        .postgres
        .ask("SELECT address FROM maestro_node")
        .concat();
    let management = start(&stores, "management-api", &home, &ca, "management");
    let fleet = home.mute_fleet("north", 1);
    let created = || async { management.post("/schedulers", &fleet).await.0 == 200 };
    assert!(
        eventually(seconds(30), created).await,
        "{}",
        management.logged()
    );
    // Who trusts the next authority alone is not heard yet, and does not trust the worker either.
    let of_next = || opened(&next, &next, "node");
    assert!(pause(&address, Some(of_next())).await.is_err());

    // A file that is no certificate changes nothing but the log.
    let served = ca.sign("spare", NAME);
    let [cert, key] = ["pem", "key"].map(|end| served.cert.with_file_name(format!("worker.{end}")));
    let before = std::fs::read(&cert).expect("a file");
    std::fs::write(&cert, "rubbish").expect("a file");
    let told = || async {
        let heard = pause(&address, Some(opened(&ca, &ca, "asks"))).await;
        assert_eq!(heard, Ok(()));
        worker.logged().contains("cannot be used")
    };
    assert!(eventually(seconds(20), told).await, "{}", worker.logged());
    std::fs::write(&cert, before).expect("a file");

    // Both authorities first, then certificates of the next one.
    let both = [ca.ca(), next.ca()].map(|file| std::fs::read(file).expect("a file"));
    std::fs::write(ca.ca(), both.concat()).expect("a file");
    let renewed = next.sign("worker", NAME);
    std::fs::copy(&renewed.key, &key).expect("a file");
    std::fs::copy(&renewed.cert, &cert).expect("a file");
    let trusted = || async { pause(&address, Some(of_next())).await.is_ok() };
    assert!(
        eventually(seconds(20), trusted).await,
        "{}",
        worker.logged()
    );
    let edited = || async {
        let patch = json!({"maxSurge": "7"});
        management.patch("/schedulers/north", &patch).await.0 == 200
    };
    assert!(
        eventually(seconds(20), edited).await,
        "{}",
        management.logged()
    );
}
