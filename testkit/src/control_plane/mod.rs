//! A real control plane of Kubernetes on loopback: etcd, API server with RBAC and audit log, controllers, scheduler.
//!
//! `KUBEBUILDER_ASSETS` names the folder of the programs, as for other tools. Without them a cluster of kind or k3d is
//! used, if `KUBECONFIG` names one. There is no kubelet: nodes are objects that a test registers, and a
//! kubelet of ours acts for them. The programs end with the process of the tests, however that ends.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod api_proxy;
mod assets;
mod audit;
mod component;
mod connection;
mod credentials;
mod etcd;
mod node;
mod outage;
mod programs;
mod shared;
mod user;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU32;

use kube::Client;
use tempfile::TempDir;
use tokio::sync::Mutex;

pub use api_proxy::{ApiCall, ApiProxy, Fault};
pub use audit::AuditEvent;
pub use node::TestNode;
pub(crate) use node::say_ready;
pub use outage::Snapshot;
pub use shared::{Alone, Shared, kept};
pub use user::User;

use assets::Found;
use connection::connect;
use credentials::{ADMIN, HARNESS};
use programs::Programs;

/// A port may be taken by another process between its choice and its use.
const ATTEMPTS: u32 = 3;

/// A control plane.
#[derive(Debug)]
pub struct ControlPlane {
    own: Option<Own>,
    kubeconfig: PathBuf,
    /// Where files of service accounts are.
    files: PathBuf,
    /// The folder of these files, if no program's folder is there for them.
    _folder: Option<TempDir>,
    users: AtomicU32,
}

/// One that was started here.
#[derive(Debug)]
struct Own {
    /// Some of them can be stopped and started again.
    programs: Mutex<Programs>,
    server: String,
    harness: PathBuf,
    audit_log: PathBuf,
    assets: PathBuf,
    complete: bool,
}

impl ControlPlane {
    /// A control plane of the test's own, or the cluster that `KUBECONFIG` names. `None` if there is none; then the
    /// test is skipped, and says so.
    ///
    /// # Panics
    /// If programs are missing although the environment variable `CI` is set, or if they do not start.
    pub async fn start() -> Option<Self> {
        Self::start_with(true).await
    }

    /// As [`Self::start`], but etcd and the API server are enough: what `setup-envtest` installs. Nobody makes the
    /// service accounts of namespaces then, ends namespaces, or binds pods.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_api_server() -> Option<Self> {
        Self::start_with(false).await
    }

    async fn start_with(controllers: bool) -> Option<Self> {
        let (folder, complete) = match assets::find() {
            Ok(Found::Programs { folder, complete }) => (folder, complete),
            Ok(Found::Cluster(kubeconfig)) => return Some(Self::existing(kubeconfig)),
            Err(missing) => {
                assets::skip(&missing);
                return None;
            }
        };
        if controllers && !complete {
            assets::skip(&assets::incomplete(&folder));
            return None;
        }
        let mut words = String::new();
        for _ in 0..ATTEMPTS {
            match Programs::start(&folder, controllers).await {
                Ok(programs) => return Some(Self::of(programs, controllers)),
                Err(last) => words = last,
            }
        }
        panic!("the control plane does not start:\n{words}");
    }

    fn of(programs: Programs, complete: bool) -> Self {
        let kubeconfig = programs.kubeconfig(ADMIN);
        let files = programs.path("users");
        std::fs::create_dir(&files).unwrap();
        let own = Own {
            server: programs.server(),
            harness: programs.kubeconfig(HARNESS),
            audit_log: programs.path("audit.log"),
            assets: programs.assets().to_owned(),
            complete,
            programs: Mutex::new(programs),
        };
        Self {
            own: Some(own),
            kubeconfig,
            files,
            _folder: None,
            users: AtomicU32::new(0),
        }
    }

    fn existing(kubeconfig: PathBuf) -> Self {
        let folder = TempDir::with_prefix("maestro-kube-users-").unwrap();
        Self {
            own: None,
            kubeconfig,
            files: folder.path().to_owned(),
            _folder: Some(folder),
            users: AtomicU32::new(0),
        }
    }

    /// A new client with all rights. It lives on the runtime of the calling test, and does not try again by itself.
    pub async fn client(&self) -> Client {
        connect(&self.kubeconfig).await
    }

    /// A file for clients with all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whether it was started here, so that it can be stopped and has an audit log.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// As [`Self::is_own`]; otherwise it says that the test is skipped.
    pub fn is_own_or_skip(&self) -> bool {
        if !self.is_own() {
            eprintln!(
                "SKIPPED: the cluster of KUBECONFIG is not to be stopped, and has no audit log here"
            );
        }
        self.is_own()
    }

    /// Whether there are controllers and a scheduler.
    pub fn has_controllers(&self) -> bool {
        self.own.as_ref().is_none_or(|own| own.complete)
    }

    /// The URL of the API server. Its certificate is for 127.0.0.1 and `localhost` at any port, as a proxy needs it.
    ///
    /// # Panics
    /// If it was not started here.
    pub fn server(&self) -> &str {
        &self.own().server
    }

    /// `host:port` of the API server.
    ///
    /// # Panics
    /// If it was not started here.
    pub fn address(&self) -> &str {
        self.server().trim_start_matches("https://")
    }

    /// A file for clients with all rights that reach the API server over another address (`host:port`), as of a
    /// [`crate::proxy::Proxy`].
    ///
    /// # Panics
    /// If it was not started here.
    pub fn kubeconfig_at(&self, address: &str) -> PathBuf {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let file = self.files.join(format!("{address}.kubeconfig"));
        std::fs::write(&file, text.replace(self.address(), address)).unwrap();
        file
    }

    /// Where the API server writes what it was asked.
    ///
    /// # Panics
    /// If it was not started here.
    pub fn audit_log(&self) -> &Path {
        &self.own().audit_log
    }

    /// What the API server was asked so far, but by whom the control plane and this harness consist of. A request is
    /// there soon after its answer; a watch when it has ended.
    ///
    /// # Panics
    /// If it was not started here.
    pub fn audit(&self) -> Vec<AuditEvent> {
        audit::read(self.audit_log())
    }

    /// What `kubectl` says to these arguments, with all rights.
    ///
    /// # Errors
    /// Its words, if it fails.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let folder = self.own.as_ref().map(|own| own.assets.as_path());
        let mut kubectl = Command::new(assets::program(folder, "kubectl"));
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig);
        let output = kubectl.args(arguments).output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// A client whose calls are not in the audit log.
    pub(crate) async fn harness(&self) -> Client {
        let own = self.own.as_ref().map(|own| &own.harness);
        connect(own.unwrap_or(&self.kubeconfig)).await
    }

    fn own(&self) -> &Own {
        let own = self.own.as_ref();
        own.expect("the cluster of KUBECONFIG belongs to somebody else")
    }
}
