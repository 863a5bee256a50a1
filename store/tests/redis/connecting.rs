//! What is refused and what is warned of before anything is written.

use super::support::{open, settings};
use maestro_store::redis::{Concern, ConnectError, PreflightError, RedisStore};
use maestro_testkit::servers::redis::RedisServer;
use std::process::Command;

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

#[tokio::test]
async fn the_certificate_of_a_server_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
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
        return;
    }
    let (key, cert) = (at("key"), at("cert"));
    let plain = ["--tls-cert-file", &cert, "--tls-key-file", &key];
    let more = ["--tls-auth-clients", "no", "--tls-port", "{port}"];
    let options = [&plain[..], &more[..]].concat();
    let Some(server) = RedisServer::start(&options).await else {
        return;
    };
    let port = server.texts(&["CONFIG", "GET", "tls-port"])[1].clone();
    let mut settings = settings(&format!("rediss://127.0.0.1:{port}/0"));
    let refused = RedisStore::connect(&settings).await.unwrap_err();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let der = Command::new("openssl")
        .args(["x509", "-outform", "der", "-in", &cert])
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
