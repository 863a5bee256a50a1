//! Orders from another machine, which is a network namespace here: refused without a token, and taken with it.
//!
//! The test runs itself again in a network namespace where it may do as it likes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::*;

/// Set where the test runs in its own network.
const INSIDE: &str = "MAESTRO_TEST_INSIDE";
const HERE: &str = "10.213.9.1";
const THERE: &str = "10.213.9.2";
const TOKEN: &str = "known-to-operators";

/// Another machine: a shell that runs what it is told.
struct Far {
    shell: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Far {
    fn connect() -> Self {
        let script = r#"while read -r line; do eval "$line"; done"#;
        let mut shell = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let input = shell.stdin.take().expect("piped");
        let output = BufReader::new(shell.stdout.take().expect("piped"));
        let mut far = Self {
            shell,
            input,
            output,
        };
        // Once it answers it has its namespace.
        assert_eq!(far.says("echo there"), "there");
        let pid = far.shell.id().to_string();
        tool(&[
            "ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &pid,
        ]);
        tool(&["ip", "addr", "add", &format!("{HERE}/24"), "dev", "near"]);
        tool(&["ip", "link", "set", "near", "up"]);
        let up = format!("ip addr add {THERE}/24 dev far && ip link set far up && echo up");
        assert_eq!(far.says(&up), "up");
        far
    }

    fn says(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").expect("it reads");
        let mut said = String::new();
        self.output.read_line(&mut said).expect("it answers");
        said.trim().to_owned()
    }

    /// What a command prints; empty if that is nothing.
    fn prints(&mut self, command: &str) -> String {
        self.says(&format!("echo \"$({command})\""))
    }

    /// The status of an order over HTTP.
    fn orders(&mut self, port: &str, path: &str, header: &str) -> String {
        self.prints(&format!(
            "curl -s --retry 5 --retry-connrefused -o /dev/null -w '%{{http_code}}' {header} -X POST http://{HERE}:{port}{path}"
        ))
    }

    /// The code of an order over gRPC, whose message is empty. A refusal comes before the message was read, and curl
    /// sometimes loses such an answer; then it asks again.
    fn calls(&mut self, port: &str, method: &str, header: &str) -> String {
        let mut answers = (0..20).map(|_| self.call(port, method, header));
        answers.find(|code| !code.is_empty()).unwrap_or_default()
    }

    fn call(&mut self, port: &str, method: &str, header: &str) -> String {
        self.prints(&format!(
            "printf '\\0\\0\\0\\0\\0' | curl -s --http2-prior-knowledge -o /dev/null -D - {header} -H 'content-type: application/grpc' -H 'te: trailers' \
             --data-binary @- http://{HERE}:{port}/{method} | tr -d '\\r' | sed -n 's/^grpc-status: //p' | head -1"
        ))
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn tool(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{words:?}: {output:?}");
}

fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    found.is_ok_and(|output| output.status.success())
}

#[test]
fn another_machine_needs_the_token() {
    if std::env::var_os(INSIDE).is_some() {
        let tasks = tokio::runtime::Runtime::new().expect("a runtime");
        return tasks.block_on(inside());
    }
    if !has("ip") || !has("curl") {
        let missing = "ip or curl is missing; type: sudo apt-get install iproute2 curl";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        return eprintln!("SKIPPED: {missing}");
    }
    let probe = [
        "--net", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far",
    ];
    let allowed = Command::new("unshare").args(probe).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED: no network can be made here; that takes root");
    }
    let myself = std::env::current_exe().expect("a program");
    let mut again = Command::new("unshare");
    again.arg("--net").arg(myself);
    again.args([
        "--exact",
        "far::another_machine_needs_the_token",
        "--nocapture",
    ]);
    let status = again.env(INSIDE, "yes").status().expect("it starts");
    assert!(status.success());
}

fn port(url: &str) -> &str {
    url.rsplit(':').next().expect("a port")
}

async fn inside() {
    tool(&["ip", "link", "set", "lo", "up"]);
    let mut far = Far::connect();
    let everywhere = [
        ("MAESTRO_API_HOST", "0.0.0.0"),
        ("MAESTRO_GRPC_HOST", "0.0.0.0"),
    ];
    let home = Home::new();
    let maestro = home.start_with(&everywhere);
    maestro.bring_up(&home.fleet("arena", 1)).await;
    let (http, grpc) = (
        port(&maestro.management).to_owned(),
        port(&maestro.grpc).to_owned(),
    );
    let right = format!("-H 'Authorization: Bearer {TOKEN}'");
    let (start, create) = (path(V1, "start"), "/schedulers/lobby/runtime");
    let methods = [
        "version.VersionService/Start",
        "runtime.RuntimeService/Create",
    ];
    // Without a token only this machine may give orders: this one reaches the check of its message.
    for order in [start.as_str(), create] {
        assert_eq!(far.orders(&http, order, ""), "403");
        assert_eq!(far.orders(&http, order, &right), "403");
    }
    for method in methods {
        assert_eq!(far.calls(&grpc, method, ""), "7");
    }
    done(&maestro, V1, "start").await;
    assert!(maestro.stop().success());

    let with_token = [
        everywhere[0],
        everywhere[1],
        ("MAESTRO_K8SMANAGER_TOKEN", TOKEN),
    ];
    let maestro = home.start_with(&with_token);
    let (http, grpc) = (
        port(&maestro.management).to_owned(),
        port(&maestro.grpc).to_owned(),
    );
    // With the right one it is taken, and then refused for what it says: the version is started, and a message has to
    // name one. A runtime can be made again.
    for (order, taken) in [(start.as_str(), "409"), (create, "202")] {
        assert_eq!(far.orders(&http, order, ""), "401");
        assert_eq!(far.orders(&http, order, &right), taken);
    }
    for method in methods {
        assert_eq!(far.calls(&grpc, method, ""), "16");
        let wrong = "-H 'Authorization: Bearer known-to-operatorz'";
        assert_eq!(far.calls(&grpc, method, wrong), "16");
        assert_eq!(far.calls(&grpc, method, &right), "3");
    }
}
