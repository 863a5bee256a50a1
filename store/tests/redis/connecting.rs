//! What is refused and what is warned of before anything is written.

use super::support::{open, settings};
use maestro_store::redis::{Concern, ConnectError, PreflightError, RedisStore};
use maestro_testkit::servers::redis::RedisServer;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_server_without_a_safe_place_for_data_is_warned_of() {
    let options = ["--maxmemory-policy", "allkeys-lru", "--maxmemory", "64mb"];
    let Some(server) = RedisServer::start(&options).await else {
        return;
    };
    let store = open(&server).await;
    let policy = "allkeys-lru".to_owned();
    let expected = [Concern::Eviction { policy }, Concern::NoPersistence];
    assert_eq!(store.concerns(), expected);
    store.close().await;
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.ask(&["CONFIG", "SET", "save", "3600 1"]);
    assert_eq!(open(&server).await.concerns(), []);
    server.ask(&["CONFIG", "SET", "save", ""]);
    server.ask(&["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(open(&server).await.concerns(), []);
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_and_a_wrong_password_is_said() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    let rights = [
        "ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all", "-config",
    ];
    server.ask(&rights);
    let url = |password: &str| format!("redis://ann:{password}@{}/3", server.address());
    let store = RedisStore::connect(&settings(&url("secret")))
        .await
        .unwrap();
    assert!(matches!(store.concerns(), [Concern::Hidden { .. }]));
    let refused = RedisStore::connect(&settings(&url("geheim"))).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Unreachable { .. }),
        "{refused}"
    );
    let text = refused.to_string();
    assert!(
        text.contains("WRONGPASS") && !text.contains("geheim"),
        "{text}"
    );
}

#[tokio::test]
async fn a_store_ends_its_connections() {
    let Some(server) = RedisServer::start(&[]).await else {
        return;
    };
    let mut connection = server.connection();
    let mut clients = || {
        connection
            .ask(&["CLIENT", "LIST"])
            .unwrap()
            .texts()
            .concat()
            .lines()
            .count()
    };
    let mut one = settings(&server.url());
    one.pool_size = 1;
    for (settings, expected) in [(settings(&server.url()), 2), (one, 1)] {
        let store = RedisStore::connect(&settings).await.unwrap();
        assert_eq!(clients(), 1 + expected);
        let feed = store.feed().await.unwrap();
        assert_eq!(clients(), 2 + expected);
        drop((store, feed));
        while clients() > 1 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_cluster_and_nobody_are_refused() {
    let Some(server) = RedisServer::start(&["--cluster-enabled", "yes"]).await else {
        return;
    };
    let refused = RedisStore::connect(&settings(&server.url())).await;
    let cluster = ConnectError::Preflight(PreflightError::Cluster).to_string();
    assert_eq!(refused.unwrap_err().to_string(), cluster);
    let url = server.url();
    drop(server);
    let refused = RedisStore::connect(&settings(&url)).await.unwrap_err();
    assert!(
        refused.to_string().contains("cannot be reached"),
        "{refused}"
    );
}

/// A server with a certificate that it has signed itself, which is in the folder. `None` where a program is missing,
/// which is said.
async fn with_tls(folder: &Path) -> Option<(RedisServer, String)> {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=redis",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &at("key"), "-out", &at("cert")])
        .output();
    if made.is_err() {
        assert!(std::env::var_os("CI").is_none(), "openssl is missing");
        eprintln!("SKIPPED: openssl is missing; type: sudo apt-get install openssl");
        return None;
    }
    let (key, cert) = (at("key"), at("cert"));
    let plain = ["--tls-cert-file", &cert, "--tls-key-file", &key];
    let more = ["--tls-auth-clients", "no", "--tls-port", "{port}"];
    let options = [&plain[..], &more[..]].concat();
    let server = RedisServer::start(&options).await?;
    let port = server.texts(&["CONFIG", "GET", "tls-port"])[1].clone();
    Some((server, port))
}

#[tokio::test]
async fn the_certificate_of_a_server_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_server, port)) = with_tls(folder.path()).await else {
        return;
    };
    let mut settings = settings(&format!("rediss://127.0.0.1:{port}/0"));
    let refused = RedisStore::connect(&settings).await.unwrap_err();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let der = Command::new("openssl")
        .args(["x509", "-outform", "der", "-in"])
        .arg(folder.path().join("cert"))
        .output()
        .unwrap();
    settings.authorities = vec![der.stdout];
    RedisStore::connect(&settings).await.unwrap();
    // The name is verified too.
    for (_, url) in &mut settings.urls {
        *url = format!("rediss://localhost:{port}/0");
    }
    let refused = RedisStore::connect(&settings).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

/// The system's certificates are named by the environment, so that this runs in a process of its own.
#[tokio::test]
async fn certificates_are_read_once_and_serve_later_connections_too() {
    const SYSTEM: &str = "SSL_CERT_FILE";
    const INSIDE: &str = "MAESTRO_TEST_OF_CERTIFICATES";
    let Some(folder) = std::env::var_os(INSIDE) else {
        let folder = tempfile::tempdir().unwrap();
        let name = "connecting::certificates_are_read_once_and_serve_later_connections_too";
        let inside = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(INSIDE, folder.path())
            .env(SYSTEM, folder.path().join("cert"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&inside.stdout);
        assert!(
            inside.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    };
    let folder = Path::new(&folder);
    let Some((server, port)) = with_tls(folder).await else {
        return;
    };
    let settings = settings(&format!("rediss://127.0.0.1:{port}/0"));
    let store = RedisStore::connect(&settings).await.unwrap();
    std::fs::remove_file(folder.join("cert")).unwrap();
    let first = store.writer().number;
    server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    let until = Instant::now() + Duration::from_secs(20);
    while store.writer().number == first {
        let lost = store.takes_changes().await;
        assert!(Instant::now() < until, "{lost:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.takes_changes().await.unwrap();
}
