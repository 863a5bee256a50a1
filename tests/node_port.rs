//! The port on which nodes call each other, with callers that are none: rubbish, wrong secrets, frames that are too
//! large, and thousands of connections. They are refused, and the nodes go on. Real processes.

mod support;

use maestro_api::codec::messages::PauseSchedulerRequest;
use maestro_api::{Peers, RequestContext};
use maestro_grpc::{GrpcPeers, NodeSecret};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use support::stores::Stores;
use support::{Home, Maestro, eventually, memory_kib, seconds};
use tokio::runtime::Handle;

const SECRET: &str = "correct-horse-battery";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// More than a server takes, and fewer than a process may open.
const CONNECTIONS: usize = 3_000;
/// For connections that hold nothing, each with its buffers.
const MEMORY_MAX_KIB: u64 = 120 * 1024;

fn address(stores: &Stores, node: &Maestro, others: &[String]) -> String {
    let all = stores
        .postgres
        .ask("SELECT address FROM maestro_node WHERE expires_at > clock_timestamp()");
    let mut new = all.into_iter().filter(|address| !others.contains(address));
    new.next().unwrap_or_else(|| panic!("{}", node.logged()))
}

fn frame(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = u32::try_from(length).expect("it fits").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

/// Sends this and reads until the other side has ended the connection. False if it does not.
fn is_ended(address: &str, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(seconds(15)))
        .expect("a socket");
    // It may end while this is sent.
    let _ = stream.write_all(bytes);
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Noise that is the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    next.take(length).collect()
}

async fn pause(address: &str, secret: Option<&str>) -> Result<(), String> {
    let secret = secret.map(|text| NodeSecret::new(text).expect("a secret"));
    let peers = GrpcPeers::new(secret, Handle::current());
    let request = PauseSchedulerRequest {
        scheduler_name: "north".into(),
    };
    let operator = peers
        .at(address)
        .map_err(|status| status.to_string())?
        .operator;
    let paused = operator
        .pause_scheduler(&RequestContext::internal(), request)
        .await;
    paused.map(|_| ()).map_err(|status| status.to_string())
}

/// The owner answers what only it knows, through the other node.
async fn goes_on(nodes: &[Maestro; 2]) -> bool {
    for node in nodes {
        if node.get("/schedulers/north/rollout").await.0 != 200 {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_are_no_nodes_are_refused_and_nodes_go_on() {
    let Some(stores) = Stores::start().await else {
        return;
    };
    let homes = [Home::new(), Home::new()];
    let secret = [("MAESTRO_CLUSTER_SECRET", SECRET)];
    let owner = stores.module("all", &homes[0], &secret);
    let port = address(&stores, &owner, &[]);
    let created = owner
        .post("/schedulers", &homes[0].mute_fleet("north", 2))
        .await;
    assert_eq!(created.0, 200, "{}", created.1);
    let nodes = [owner, stores.module("all", &homes[1], &secret)];
    assert!(
        eventually(seconds(20), || goes_on(&nodes)).await,
        "{}",
        nodes[1].logged()
    );
    let before = memory_kib(nodes[0].pid());

    let settings = frame(0, 4, 0, 0);
    let greeting = [PREFACE, &settings].concat();
    let too_large = [
        &greeting[..],
        &frame((1 << 24) - 1, 0, 0, 1),
        &noise(1 << 20),
    ]
    .concat();
    let head_too_large = [
        &greeting[..],
        &frame((1 << 24) - 1, 1, 4, 1),
        &noise(1 << 20),
    ]
    .concat();
    let broken_head = [&greeting[..], &frame(4096, 1, 4, 1), &noise(4096)].concat();
    let rubbish = [
        noise(1 << 20),
        vec![0; 1 << 20],
        vec![0xff; 1 << 20],
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        [PREFACE, &noise(1 << 20)].concat(),
        too_large,
        head_too_large,
        broken_head,
        PREFACE[..20].to_vec(),
        Vec::new(),
    ];
    for (number, bytes) in rubbish.into_iter().enumerate() {
        let port = port.clone();
        let ended = tokio::task::spawn_blocking(move || is_ended(&port, &bytes)).await;
        assert!(ended.expect("it does not panic"), "number {number} stays");
    }
    for wrong in [
        None,
        Some("incorrect-horse-battery"),
        Some("correct-horse-batter"),
    ] {
        let refused = pause(&port, wrong).await.expect_err("it is no node");
        assert!(
            refused.contains("cluster.secret must be the same"),
            "{refused}"
        );
    }
    assert!(goes_on(&nodes).await);

    let (mut held, mut refused) = (Vec::new(), 0);
    for _ in 0..CONNECTIONS {
        let within = Duration::from_secs(1);
        let target = port.parse().expect("an address");
        match TcpStream::connect_timeout(&target, within) {
            Ok(mut stream) => {
                let _ = stream.write_all(&greeting);
                held.push(stream);
            }
            Err(_) => refused += 1,
        }
    }
    let going_on = eventually(seconds(20), || goes_on(&nodes)).await;
    assert!(
        going_on,
        "{} held, {refused} refused: {}",
        held.len(),
        nodes[0].logged()
    );
    let surge = json!({"maxSurge": "7"});
    let edited = nodes[1].patch("/schedulers/north", &surge).await;
    assert_eq!(nodes[1].done("north", edited).await["status"], "finished");
    let grown = memory_kib(nodes[0].pid()).saturating_sub(before);
    assert!(
        grown < MEMORY_MAX_KIB,
        "{grown} KiB for {} connections",
        held.len()
    );
    drop(held);
    assert_eq!(pause(&port, Some(SECRET)).await, Ok(()), "a node is heard");
    let said = nodes[0].logged();
    assert!(
        said.contains("a call as a node was refused") && !said.contains("horse"),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    for node in nodes {
        assert!(node.stop().success());
    }
}
