//! The programs of a control plane of the test's own, with the flags that they are started with.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::audit;
use super::component::Component;
use super::connection::{connect, connect_to};
use super::credentials::{ADMIN, Credentials, HARNESS};
use super::etcd;

/// Below the range from which the system takes ports for connections, so that none of them gets one first.
const PORTS: Range<u16> = 12_000..20_000;
/// How long a program may take to answer after its start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Loopback ports.
#[derive(Debug)]
struct Ports {
    etcd: u16,
    peer: u16,
    api: u16,
    controllers: u16,
    scheduler: u16,
}

/// The programs, in a folder of their own that ends with them.
#[derive(Debug)]
pub(super) struct Programs {
    /// Before their folder: they are dropped first. Etcd is last: without it the API server hangs.
    scheduler: Option<Component>,
    controllers: Option<Component>,
    api: Option<Component>,
    etcd: Option<Component>,
    ports: Ports,
    credentials: Credentials,
    assets: PathBuf,
    folder: TempDir,
}

impl Programs {
    /// Starts them, and returns when all of them answer. The error is the last words of the one that ended instead.
    pub(super) async fn start(assets: &Path, complete: bool) -> Result<Self, String> {
        let folder = TempDir::with_prefix("maestro-kube-").expect("a folder");
        let mut programs = Self {
            ports: Ports::free(),
            credentials: Credentials::make(folder.path().join("pki")),
            assets: assets.to_owned(),
            folder,
            etcd: None,
            api: None,
            controllers: None,
            scheduler: None,
        };
        fs::write(programs.path("audit.yaml"), audit::POLICY).expect("a file");
        for name in [ADMIN, HARNESS, "controllers", "scheduler"] {
            let server = programs.server();
            programs.credentials.kubeconfig(&server, name);
        }
        programs.start_etcd().await?;
        programs.start_api().await?;
        if complete {
            programs.start_controllers().await?;
        }
        Ok(programs)
    }

    /// The URL of the API server.
    pub(super) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    /// `host:port` of etcd.
    pub(super) fn etcd_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.etcd)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.credentials.file(&format!("{name}.kubeconfig"))
    }

    pub(super) fn assets(&self) -> &Path {
        &self.assets
    }

    /// The process ids of those that run, the API server's first.
    pub(super) fn pids(&self) -> Vec<u32> {
        let all = [&self.api, &self.etcd, &self.controllers, &self.scheduler];
        all.into_iter().flatten().map(Component::pid).collect()
    }

    pub(super) fn api(&self) -> &Component {
        self.api.as_ref().expect("the API server was stopped")
    }

    pub(super) fn has_api(&self) -> bool {
        self.api.is_some()
    }

    pub(super) fn kill_api(&mut self) {
        self.api.take().expect("it runs").kill();
    }

    pub(super) fn kill_etcd(&mut self) {
        self.etcd.take().expect("it runs").kill();
    }

    /// Ends everything, and starts it again on other contents of etcd.
    pub(super) async fn restore(&mut self, contents: &Path) -> Result<(), String> {
        let complete = self.scheduler.is_some();
        let running = [&mut self.scheduler, &mut self.controllers, &mut self.api];
        for component in running.into_iter().filter_map(Option::take) {
            component.kill();
        }
        self.kill_etcd();
        fs::remove_dir_all(self.path("etcd")).expect("the folder of etcd");
        etcd::copy(contents, &self.path("etcd"));
        self.start_etcd().await?;
        self.start_api().await?;
        if complete {
            self.start_controllers().await?;
        }
        Ok(())
    }

    pub(super) async fn start_etcd(&mut self) -> Result<(), String> {
        let (client, peer) = (self.ports.etcd, self.ports.peer);
        let client = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        let mut command = self.program("etcd");
        command.args(["--name=test", "--unsafe-no-fsync", "--log-level=warn"]);
        command.arg(flag("data-dir", self.path("etcd").display()));
        command.arg(flag("listen-client-urls", &client));
        command.arg(flag("advertise-client-urls", &client));
        command.arg(flag("listen-peer-urls", &peer));
        command.arg(flag("initial-advertise-peer-urls", &peer));
        command.arg(format!("--initial-cluster=test={peer}"));
        let started = Component::start(&command, self.path("etcd.log"), Some(self.folder.path()));
        let started = self.etcd.insert(started);
        // A refused first connection would cost the API server a second.
        let address = format!("127.0.0.1:{}", self.ports.etcd);
        answers(started, async || TcpStream::connect(&address).await.is_ok()).await
    }

    pub(super) async fn start_api(&mut self) -> Result<(), String> {
        let mut command = self.program("kube-apiserver");
        let file = |name: &str| self.credentials.file(name).display().to_string();
        command.args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--kubelet-preferred-address-types=InternalIP",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--profiling=false",
            "--audit-log-maxsize=2000",
        ]);
        command.arg(format!("--etcd-servers=http://{}", self.etcd_address()));
        command.arg(flag("secure-port", self.ports.api));
        command.arg(flag("cert-dir", self.path("pki").display()));
        command.arg(flag("audit-policy-file", self.path("audit.yaml").display()));
        command.arg(flag("audit-log-path", self.path("audit.log").display()));
        for (name, value) in [
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("client-ca-file", "ca.crt"),
            ("service-account-key-file", "sa.pub"),
            ("service-account-signing-key-file", "sa.key"),
            ("kubelet-client-certificate", "kubelet-client.crt"),
            ("kubelet-client-key", "kubelet-client.key"),
            ("requestheader-client-ca-file", "ca.crt"),
            ("proxy-client-cert-file", "front-proxy.crt"),
            ("proxy-client-key-file", "front-proxy.key"),
        ] {
            command.arg(flag(name, file(value)));
        }
        let started = Component::start(&command, self.path("apiserver.log"), None);
        let client = connect(&self.kubeconfig(HARNESS)).await;
        let started = self.api.insert(started);
        answers(started, async || is_ready(&client, "/readyz").await).await
    }

    /// The controllers and the scheduler.
    async fn start_controllers(&mut self) -> Result<(), String> {
        let (controllers, scheduler) = (self.controllers_command(), self.scheduler_command());
        let controllers = Component::start(&controllers, self.path("controllers.log"), None);
        let scheduler = Component::start(&scheduler, self.path("scheduler.log"), None);
        let ports = [self.ports.controllers, self.ports.scheduler];
        let [of_controllers, of_scheduler] = ports.map(|port| format!("https://127.0.0.1:{port}"));
        let admin = self.kubeconfig(HARNESS);
        let client = connect_to(&admin, &of_controllers).await;
        let controllers = self.controllers.insert(controllers);
        answers(controllers, async || is_ready(&client, "/healthz").await).await?;
        let client = connect_to(&admin, &of_scheduler).await;
        let scheduler = self.scheduler.insert(scheduler);
        answers(scheduler, async || is_ready(&client, "/readyz").await).await?;
        // Without it no pod is let into the namespace.
        let accounts: Api<ServiceAccount> = Api::namespaced(connect(&admin).await, "default");
        answers(controllers, async || accounts.get("default").await.is_ok()).await
    }

    fn controllers_command(&self) -> Command {
        let mut command = self.program("kube-controller-manager");
        let config = self.kubeconfig("controllers");
        for name in [
            "kubeconfig",
            "authentication-kubeconfig",
            "authorization-kubeconfig",
        ] {
            command.arg(flag(name, config.display()));
        }
        for (name, value) in [
            ("service-account-private-key-file", "sa.key"),
            ("root-ca-file", "ca.crt"),
            ("cluster-signing-cert-file", "ca.crt"),
            ("cluster-signing-key-file", "ca.key"),
        ] {
            command.arg(flag(name, self.credentials.file(value).display()));
        }
        command.arg(flag("secure-port", self.ports.controllers));
        command.arg(flag("cert-dir", self.path("controllers").display()));
        command.arg(flag("flex-volume-plugin-dir", self.path("flex").display()));
        command.args([
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--use-service-account-credentials=true",
            "--controllers=*",
            // Nodes have no leases here: a test says when one is gone.
            "--node-monitor-grace-period=1000h",
            "--kube-api-qps=1000",
            "--kube-api-burst=1000",
            "--profiling=false",
        ]);
        command
    }

    fn scheduler_command(&self) -> Command {
        let config = self.kubeconfig("scheduler");
        // By default it makes 50 requests a second, and a pod that did not fit is tried again after up to 10 s.
        let text = format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
             clientConnection: {{kubeconfig: {}, qps: 2000, burst: 2000}}\n\
             leaderElection: {{leaderElect: false}}\n\
             podInitialBackoffSeconds: 1\npodMaxBackoffSeconds: 2\n",
            config.display()
        );
        fs::write(self.path("scheduler.yaml"), text).expect("a file");
        let mut command = self.program("kube-scheduler");
        command.arg(flag("config", self.path("scheduler.yaml").display()));
        for name in ["authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(flag(name, config.display()));
        }
        command.arg(flag("secure-port", self.ports.scheduler));
        command.arg(flag("cert-dir", self.path("scheduler").display()));
        command.arg("--bind-address=127.0.0.1");
        command
    }

    /// The asset of this name; the folder may hold one program that goes by the name it is called by.
    fn program(&self, name: &str) -> Command {
        Command::new(self.assets.join(name))
    }
}

impl Ports {
    fn free() -> Self {
        let mut free = BTreeSet::new();
        while free.len() < 5 {
            let port = fastrand::u16(PORTS);
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                free.insert(port);
            }
        }
        let mut free = free.into_iter();
        let mut next = || free.next().unwrap_or_default();
        Self {
            etcd: next(),
            peer: next(),
            api: next(),
            controllers: next(),
            scheduler: next(),
        }
    }
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

async fn is_ready(client: &Client, path: &str) -> bool {
    let request = Request::get(path).body(Vec::new()).expect("a request");
    client.request_text(request).await.is_ok()
}

/// Returns once the program answers; the error is its last words if it ends instead, or takes too long.
async fn answers(component: &Component, mut does: impl AsyncFnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    while !does().await {
        if !component.is_alive() || Instant::now() > until {
            return Err(component.last_words());
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
