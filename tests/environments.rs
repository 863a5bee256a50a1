//! Five processes with the environments of the Go Maestro's, unchanged, each in a network namespace of its own as in a
//! cluster: they find the stores by name and the kubeconfig where it is mounted, and are probed and called by their
//! addresses. Rooms are pods, which ping from elsewhere.
//!
//! The test runs itself again in a network namespace where it may do as it likes.

mod support;

use maestro_testkit::control_plane::{ControlPlane, TestNode};
use maestro_testkit::kubelet::Kubelet;
use maestro_testkit::servers::postgres::PostgresServer;
use maestro_testkit::servers::redis::RedisServer;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use support::stores::{migrate, store_variables};
use support::{BINARY, eventually, fleet_of, seconds};
use tokio::net::{TcpListener, TcpStream};

/// Set where the test runs in its own network.
const INSIDE: &str = "MAESTRO_TEST_INSIDE";
/// The network of the five hosts; this host, with the stores, is the first one.
const NETWORK: &str = "10.213.7";

/// Each module with its internal port.
const MODULES: [(&str, u16); 5] = [
    ("management-api", 8081),
    ("rooms-api", 8071),
    ("worker", 8051),
    ("runtime-watcher", 8061),
    ("metrics-reporter", 8091),
];

/// Waits until it has a network, names its address, and becomes the module, in a root of its own: there is the folder
/// of the kubeconfig, beside what this machine has.
const HOST: &str = r#"
read -r address
ip link set lo up && ip addr add "$address/24" dev eth0 && ip link set eth0 up || exit 1
mount --bind "$1/hosts" /etc/hosts || exit 1
folder=$2 root=$2/root
mkdir "$root" && mount -t tmpfs tmpfs "$root" && mkdir "$root/kubeconfig" || exit 1
cp "$1/kubeconfig.yaml" "$root/kubeconfig/" || exit 1
for entry in /*; do
  if [ -L "$entry" ]; then cp -P "$entry" "$root$entry" || exit 1
  elif [ -d "$entry" ] && [ "$entry" != /kubeconfig ]; then
    mkdir "$root$entry" && mount --rbind "$entry" "$root$entry" || exit 1
  fi
done
shift 2
exec chroot "$root" sh -c 'cd "$1" && shift && exec "$@"' sh "$folder" "$@"
"#;

/// A module on a host of its own, killed on drop.
struct Host {
    child: Child,
    address: String,
    internal: u16,
    _input: ChildStdin,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Host {
    fn start(at: usize, folder: &Path) -> Self {
        let (module, internal) = MODULES[at];
        let address = format!("{NETWORK}.{}", at + 10);
        let own = folder.join(module);
        std::fs::create_dir(&own).expect("a folder");
        let environment = format!(
            "{}/tests/environments/{module}.env",
            env!("CARGO_MANIFEST_DIR")
        );
        let environment = std::fs::read_to_string(environment).expect("a file");
        let environment = environment.lines().filter_map(|line| line.split_once('='));
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", HOST, "sh"]);
        command.arg(folder).arg(&own);
        command.args([BINARY, "start", module]).envs(environment);
        command.env_remove(INSIDE).stdin(Stdio::piped());
        let log = std::fs::File::create(own.join("log")).expect("a file");
        let mut child = command
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare starts");
        // The process has its namespace once it runs the shell.
        let mut input = child.stdin.take().expect("piped");
        let pid = child.id().to_string();
        let name =
            |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let until = std::time::Instant::now() + seconds(10);
        while name(&pid).trim() != "sh" {
            assert!(std::time::Instant::now() < until, "{module} has no host");
            std::thread::yield_now();
        }
        let port = format!("port{at}");
        tool(&[
            "ip", "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &pid,
        ]);
        tool(&["ip", "link", "set", &port, "master", "hub", "up"]);
        writeln!(input, "{address}").expect("it reads");
        Self {
            child,
            address,
            internal,
            _input: input,
        }
    }

    fn url(&self, port: u16, path: &str) -> String {
        format!("http://{}:{port}{path}", self.address)
    }
}

fn tool(words: &[&str]) {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// Whoever connects here is connected to the server behind it.
async fn offer(port: u16, server: String) {
    let listener = TcpListener::bind((format!("{NETWORK}.1"), port))
        .await
        .expect("it is free");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(server).await else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
}

async fn ask(
    http: &reqwest::Client,
    method: &str,
    url: String,
    body: Option<Value>,
) -> Option<(u16, String)> {
    let mut request = http.request(method.parse().expect("a method"), url);
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.ok()?;
    Some((answer.status().as_u16(), answer.text().await.ok()?))
}

#[test]
fn the_originals_environments_start_unchanged() {
    if std::env::var_os(INSIDE).is_some() {
        let tasks = tokio::runtime::Runtime::new().expect("a runtime");
        return tasks.block_on(inside());
    }
    if !has_ip() {
        let missing = "ip is missing; type: sudo apt-get install iproute2";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        return eprintln!("SKIPPED: {missing}");
    }
    let own_network = [
        "--net", "--mount", "ip", "link", "add", "hub", "type", "bridge",
    ];
    let allowed = Command::new("unshare").args(own_network).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED: no network can be made here; that takes root");
    }
    let myself = std::env::current_exe().expect("a program");
    let mut again = Command::new("unshare");
    again.args(["--net", "--mount"]).arg(myself);
    again.args([
        "--exact",
        "the_originals_environments_start_unchanged",
        "--nocapture",
    ]);
    let status = again.env(INSIDE, "yes").status().expect("it starts");
    assert!(status.success());
}

fn has_ip() -> bool {
    Command::new("ip")
        .arg("-V")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// The control plane's, for hosts that reach it where [`offer`] does.
fn kubeconfig(plane: &ControlPlane) -> String {
    let text = std::fs::read_to_string(plane.kubeconfig()).expect("a file");
    let here = format!("\"{}\"", plane.server());
    assert!(text.contains(&here), "{text}");
    // Its certificate is for this name.
    let there = format!("\"https://{NETWORK}.1:6443\", tls-server-name: localhost");
    text.replace(&here, &there)
}

async fn inside() {
    tool(&["ip", "link", "set", "lo", "up"]);
    tool(&["ip", "link", "add", "hub", "type", "bridge"]);
    tool(&[
        "ip",
        "addr",
        "add",
        &format!("{NETWORK}.1/24"),
        "dev",
        "hub",
    ]);
    tool(&["ip", "link", "set", "hub", "up"]);
    let (Some(postgres), Some(redis)) = (
        PostgresServer::start(&[]).await,
        RedisServer::start(&[]).await,
    ) else {
        return;
    };
    postgres.database().ask("CREATE DATABASE maestro");
    offer(5432, postgres.address()).await;
    offer(6379, redis.address().to_owned()).await;
    let here = format!("postgres://maestro@{}/maestro", postgres.address());
    migrate(&store_variables(&here, &redis.url()));

    let Some(plane) = ControlPlane::start()
        .await
        .filter(ControlPlane::is_own_or_skip)
    else {
        return;
    };
    offer(6443, plane.address().to_owned()).await;
    let node = TestNode::new("abroad").label("topology.kubernetes.io/zone", "one");
    plane.register_node(&node).await;
    let kubelet = Kubelet::of(&plane, &["abroad"]).await;
    let _kubelet = kubelet.program("maestro", Path::new(BINARY)).start();

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("kubeconfig.yaml"), kubeconfig(&plane)).expect("a file");
    let names = format!("127.0.0.1 localhost\n{NETWORK}.1 postgres redis\n");
    std::fs::write(folder.path().join("hosts"), names).expect("a file");
    let hosts: Vec<Host> = (0..MODULES.len())
        .map(|at| Host::start(at, folder.path()))
        .collect();
    let log = |at: usize| {
        std::fs::read_to_string(folder.path().join(MODULES[at].0).join("log")).unwrap_or_default()
    };

    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(seconds(10))
        .build()
        .expect("a client");
    for (at, host) in hosts.iter().enumerate() {
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answers = || async {
                ask(&http, "GET", host.url(host.internal, path), None)
                    .await
                    .is_some_and(|a| a.0 == 200)
            };
            assert!(
                eventually(seconds(30), answers).await,
                "{} {path}:\n{}",
                MODULES[at].0,
                log(at)
            );
        }
    }
    let (management, rooms) = (&hosts[0], &hosts[1]);
    let mut fleet = fleet_of(
        "abroad",
        2,
        &["maestro", "room", "--ping-interval", "300ms"],
    );
    let pings = json!({"name": "MAESTRO_ROOMS_API_URL", "value": rooms.url(8070, "")});
    fleet["spec"]["containers"][0]["environment"] = json!([pings]);
    // The worker is ready: nobody has to wait until others have noticed it.
    let url = management.url(8080, "/schedulers");
    let created = ask(&http, "POST", url, Some(fleet)).await;
    assert_eq!(created.as_ref().map(|a| a.0), Some(200), "{created:?}");
    let allocates = || async {
        let allocated = ask(
            &http,
            "POST",
            rooms.url(8070, "/scheduler/abroad/rooms/allocate"),
            None,
        )
        .await;
        allocated.is_some_and(|a| a.1.contains(r#""success":true"#))
    };
    assert!(
        eventually(seconds(30), allocates).await,
        "{}\n{}",
        log(1),
        log(2)
    );
    let pods = plane.kubectl(&["get", "pods", "--namespace=abroad", "--output=name"]);
    let pods = pods.expect("a list");
    assert_eq!(pods.lines().count(), 2, "{pods}");
    for (at, host) in hosts.iter().enumerate() {
        let path = "/debug/actors?scheduler=abroad";
        // A node looks at the others once a second.
        let shows = || async {
            let shown = ask(&http, "GET", host.url(host.internal, path), None).await;
            shown.is_some_and(|(_, text)| text.contains(r#""name":"abroad""#))
        };
        assert!(eventually(seconds(10), shows).await, "{}", MODULES[at].0);
    }
}
