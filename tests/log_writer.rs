//! The reader of the log may stall, go away or run out of disk: the server is not affected.

mod support;

use rustix::process::Signal;
use serde_json::json;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use support::{BINARY, Home, eventually, seconds, signal};

/// A server with a given stderr, which is ended with its rooms at the end of the test.
struct Server {
    child: Child,
    management: String,
    rooms: String,
    internal: String,
    http: reqwest::Client,
}

impl Server {
    async fn start(home: &Home, stderr: impl Into<Stdio>) -> Self {
        Self::start_by(Command::new(BINARY), home, stderr).await
    }

    /// `command` is the binary, or a program that executes it.
    async fn start_by(mut command: Command, home: &Home, stderr: impl Into<Stdio>) -> Self {
        let ports = home.environment();
        command.args(["start", "--data-dir"]).arg(home.path());
        command
            .envs(ports.iter().cloned())
            .env("MAESTRO_GRPC_PORT", "0");
        command
            .env("RUST_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let url = |index: usize| format!("http://127.0.0.1:{}", ports[index].1);
        let server = Self {
            child: command.spawn().expect("the binary starts"),
            management: url(0),
            rooms: url(1),
            internal: url(2),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(seconds(20))
                .build()
                .expect("a client"),
        };
        let ready = eventually(seconds(60), || async {
            server.get(&format!("{}/readyz", server.internal)).await.0 == 200
        });
        assert!(ready.await, "never ready");
        server
    }

    async fn get(&self, url: &str) -> (u16, String) {
        match self.http.get(url).send().await {
            Ok(answer) => (
                answer.status().as_u16(),
                answer.text().await.unwrap_or_default(),
            ),
            Err(error) => (0, error.to_string()),
        }
    }

    async fn dropped(&self) -> u64 {
        let (_, page) = self.get(&format!("{}/metrics", self.internal)).await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("maestro_log_lines_dropped_total "));
        line.expect("the metric").parse().expect("a number")
    }

    /// Checks lists, pings, readiness and a room from creation to removal.
    async fn assert_it_works(&self, home: &Home, name: &str) {
        let fleet = home.fleet(name, 1);
        let created = self
            .http
            .post(format!("{}/schedulers", self.management))
            .json(&fleet)
            .send();
        assert_eq!(created.await.expect("an answer").status().as_u16(), 200);
        let ready = eventually(seconds(30), || async {
            let (status, info) = self
                .get(&format!("{}/schedulers/info", self.management))
                .await;
            assert_eq!(status, 200, "{info}");
            info.contains(r#""roomsReady":1"#)
        });
        assert!(ready.await, "no room");
        let ping = self
            .http
            .put(format!("{}/scheduler/{name}/rooms/nobody/ping", self.rooms));
        let ping = ping
            .json(&json!({"status": "ready"}))
            .send()
            .await
            .expect("an answer");
        assert_eq!(ping.status().as_u16(), 200);
        assert_eq!(self.get(&format!("{}/readyz", self.internal)).await.0, 200);
        let gone = self
            .http
            .delete(format!("{}/schedulers/{name}", self.management))
            .send();
        assert_eq!(gone.await.expect("an answer").status().as_u16(), 200);
        let gone = eventually(seconds(30), || async { home.processes().is_empty() });
        assert!(gone.await, "{:?}", home.processes());
    }

    async fn assert_it_ends(mut self) {
        signal(self.child.id() as i32, Signal::TERM);
        let ended = eventually(seconds(30), || {
            let ended = self.child.try_wait().expect("a child").is_some();
            async move { ended }
        });
        assert!(ended.await, "it does not end");
        assert!(self.child.wait().expect("it ended").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_gone_costs_lines_and_nothing_else() {
    let home = Home::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let server = Server::start(&home, writer).await;
    server.assert_it_works(&home, "unheard").await;
    assert!(server.dropped().await > 10);
    server.assert_it_ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_costs_lines_and_nothing_else() {
    let home = Home::new();
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let server = Server::start(&home, full).await;
    server.assert_it_works(&home, "unwritten").await;
    assert!(server.dropped().await > 10);
    server.assert_it_ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_may_not_grow_costs_lines_and_nothing_else() {
    let home = Home::new();
    // The file is at the limit for both kinds of shells, whose blocks are 512 bytes or 1 KiB.
    let path = home.path().with_extension("log");
    let log = File::create(&path).expect("a file");
    log.set_len(16 << 20).expect("a long file");
    let log = File::options().append(true).open(&path);
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -f 16384; exec "$0" "$@""#, BINARY]);
    let server = Server::start_by(shell, &home, log.expect("it is there")).await;
    std::fs::remove_file(&path).expect("it is there");
    server.assert_it_works(&home, "limited").await;
    assert!(server.dropped().await > 10);
    server.assert_it_ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_costs_lines_and_nothing_else() {
    let home = Home::new();
    // Nothing reads: a pipe holds 64 KiB.
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let server = Server::start(&home, writer).await;
    let long = format!("{}/schedulers/{}", server.management, "x".repeat(1500));
    let dropped = eventually(seconds(60), || async {
        for _ in 0..20 {
            let calls: Vec<_> = (0..20).map(|_| server.get(&long)).collect();
            for (status, body) in futures_util::future::join_all(calls).await {
                assert_eq!(status, 404, "{body}");
            }
        }
        server.dropped().await > 0
    });
    assert!(dropped.await, "nothing is dropped");
    server.assert_it_works(&home, "stalled").await;
    server.assert_it_ends().await;
}
