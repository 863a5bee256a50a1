//! The database under the API server: its history can be forgotten, and its contents set back.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Forgets all revisions before the present one.
pub(super) async fn compact(address: &str) {
    let range = ask(address, "/v3/kv/range", &json!({"key": "AA=="})).await;
    let revision = range["header"]["revision"].as_str().expect("a revision");
    let compaction = json!({"revision": revision, "physical": true});
    ask(address, "/v3/kv/compaction", &compaction).await;
}

/// A call of etcd's JSON gateway.
async fn ask(address: &str, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.expect("etcd listens");
    let asked = stream.write_all((head + &body).as_bytes()).await;
    asked.expect("etcd reads");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("etcd answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.contains(" 200 "), "{path}: {answer}");
    serde_json::from_str(body).expect("JSON")
}

/// Copies what is in one folder to another, which may not exist yet.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(from.join(".")).arg(to);
    assert!(copy.status().expect("cp runs").success());
}
