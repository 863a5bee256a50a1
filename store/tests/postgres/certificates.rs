//! TLS: what `sslmode` promises is kept. The certificates are made by `openssl`, which Debian's `postgresql` needs too.

use super::support::open;
use maestro_store::postgres::DatabaseError;
use maestro_testkit::servers::postgres::PostgresServer;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn openssl(folder: &Path, name: &str, more: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-days", "2", "-nodes", "-newkey", "ec"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    command.args(["-keyout", &key, "-out", &certificate, "-subj"]);
    command.arg(format!("/CN={name}")).args(more);
    let output = command.current_dir(folder).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}

/// An authority, and a server's certificate of it for `localhost`.
fn certificates() -> TempDir {
    let folder = TempDir::new().unwrap();
    openssl(folder.path(), "authority", &[]);
    let signed = ["-CA", "authority.pem", "-CAkey", "authority.key"];
    let name = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    openssl(folder.path(), "server", &[&signed[..], &name].concat());
    folder
}

async fn is_encrypted(url: &str) -> Result<bool, DatabaseError> {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let rows = open(url).query(sql, &[]).await?;
    Ok(rows[0].get(0))
}

#[tokio::test]
async fn what_sslmode_promises_is_kept() {
    let folder = certificates();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let files: [(&str, &[u8]); 2] = [
        ("server.pem", &read("server.pem")),
        ("server.key", &read("server.key")),
    ];
    let options = [
        "ssl=on",
        "ssl_cert_file={dir}/server.pem",
        "ssl_key_file={dir}/server.key",
    ];
    let Some(server) = PostgresServer::start_with(&options, &files).await else {
        return;
    };
    let database = server.database();
    let by_address = database.url().split('?').next().unwrap().to_owned();
    let by_name = by_address.replace("127.0.0.1", "localhost");
    let authority = folder.path().join("authority.pem").display().to_string();

    assert!(!is_encrypted(database.url()).await.unwrap());
    for mode in ["prefer", "require"] {
        let url = format!("{by_address}?sslmode={mode}");
        assert!(is_encrypted(&url).await.unwrap(), "{mode}");
    }
    for good in [
        format!("{by_name}?sslmode=verify-full&sslrootcert={authority}"),
        format!("{by_address}?sslmode=verify-ca&sslrootcert={authority}"),
        format!("{by_address}?sslmode=require&sslrootcert={authority}"),
    ] {
        assert!(is_encrypted(&good).await.unwrap(), "{good}");
    }
    openssl(folder.path(), "stranger", &[]);
    let stranger = folder.path().join("stranger.pem").display().to_string();
    for bad in [
        format!("{by_address}?sslmode=verify-full&sslrootcert={authority}"),
        format!("{by_name}?sslmode=verify-full&sslrootcert={stranger}"),
        format!("{by_name}?sslmode=verify-ca&sslrootcert={stranger}"),
        format!("{by_name}?sslmode=require&sslrootcert={stranger}"),
    ] {
        let error = is_encrypted(&bad).await.expect_err(&bad).to_string();
        assert!(error.contains("sslmode"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let Some(database) = maestro_testkit::servers::postgres::database().await else {
        return;
    };
    let url = database.url().replace("sslmode=disable", "sslmode=require");
    if url == database.url() {
        return;
    }
    let error = is_encrypted(&url).await.unwrap_err().to_string();
    assert!(
        error.contains("TLS") && error.contains("sslmode"),
        "{error}"
    );
}
