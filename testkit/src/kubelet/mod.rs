//! A kubelet of ours: it runs the pods that are bound to its nodes as local processes, or says that they run.
//!
//! What a room sees is what a real kubelet gives it: the environment with values, fields and secrets, its command, a
//! grace period. What others see is in the pod's status: phase, conditions, states of containers, restarts. There are
//! no volumes, probes, init containers or networks: a process listens at 127.0.0.1, the address of its node.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod container;
mod dispatch;
mod environment;
mod news;
mod pod;
mod process;
mod shared;
mod state;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::control_plane::{ControlPlane, say_ready};
use dispatch::Dispatcher;
use news::NodeState;
use process::Groups;
use shared::Shared;

/// As that of a real kubelet, which begins with the second restart.
const BACK_OFF: Duration = Duration::from_secs(10);
/// Statuses that are written at the same time: each needs a connection.
const WRITES: usize = 32;

/// How a kubelet behaves.
pub struct Settings {
    client: Client,
    server: Option<String>,
    nodes: Vec<String>,
    /// Instead of processes: how long after it is bound a pod is ready.
    ready_after: Option<Duration>,
    programs: HashMap<String, PathBuf>,
    images: HashMap<String, Vec<String>>,
    broken: HashMap<String, String>,
    back_off: Duration,
    has_heartbeats: bool,
}

/// A running kubelet of some nodes. All its processes end with it, and with the test.
pub struct Kubelet {
    dispatcher: Arc<Dispatcher>,
    task: AbortHandle,
}

impl Kubelet {
    /// A kubelet for these registered nodes, to be configured and started. It lives on the runtime of the calling test.
    pub async fn of(plane: &ControlPlane, nodes: &[&str]) -> Settings {
        let server = plane.is_own().then(|| plane.server());
        let server = server.and_then(|url| url.strip_prefix("https://"));
        Settings {
            client: plane.harness().await,
            server: server.map(str::to_owned),
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            ready_after: None,
            programs: HashMap::new(),
            images: HashMap::new(),
            broken: HashMap::new(),
            back_off: BACK_OFF,
            has_heartbeats: !plane.is_own(),
        }
    }

    /// The machine loses its power: its processes are gone, and nothing is heard of it. What controllers make of that
    /// after a while, a test does itself: [`ControlPlane::set_node_ready`] with `Unknown`, or
    /// [`ControlPlane::remove_node`].
    pub fn vanish(&self, node: &str) {
        self.dispatcher.set(node, NodeState::Dead);
    }

    /// The machine loses its network: its processes go on, nothing is heard of it, and it hears nothing.
    pub fn cut_off(&self, node: &str) {
        self.dispatcher.set(node, NodeState::CutOff);
    }

    /// The machine is back, and says that it is ready. After a loss of power, containers are started again as their
    /// restart policy says.
    ///
    /// # Panics
    /// If its node is not registered any more.
    pub async fn come_back(&self, node: &str) {
        self.dispatcher.set(node, NodeState::Up);
        let said = say_ready(&self.dispatcher.shared().client, node, "True").await;
        said.expect("a node");
    }

    /// An image that could not be had can be had now.
    pub fn mend_image(&self, image: &str) {
        self.dispatcher.shared().broken.lock().remove(image);
    }

    /// What a container wrote, all its lives in one.
    pub fn log(&self, namespace: &str, pod: &str, container: &str) -> String {
        let uid = self.dispatcher.uid(namespace, pod);
        let log = uid.map(|uid| self.dispatcher.shared().log(&uid, container));
        let log = log.map(|path| std::fs::read(path).unwrap_or_default());
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    /// Where the working directories and the logs of its pods are.
    pub fn folder(&self) -> &Path {
        self.dispatcher.shared().folder.path()
    }

    /// The process ids of a pod's running containers.
    pub fn pids(&self, namespace: &str, pod: &str) -> Vec<u32> {
        let uid = self.dispatcher.uid(namespace, pod).unwrap_or_default();
        self.dispatcher.shared().groups.of(&uid)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
        self.dispatcher.stop();
    }
}

impl Settings {
    /// No processes: a pod is ready this long after it was bound, and ends at once when it is deleted.
    #[must_use]
    pub fn status_only(mut self, ready_after: Duration) -> Self {
        self.ready_after = Some(ready_after);
        self
    }

    /// What a container means by the first word of its command.
    #[must_use]
    pub fn program(mut self, name: &str, path: &Path) -> Self {
        self.programs.insert(name.into(), path.into());
        self
    }

    /// What containers of this image run that have no command.
    #[must_use]
    pub fn image(mut self, image: &str, command: &[&str]) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        self.images.insert(image.into(), command);
        self
    }

    /// An image that cannot be had, for a reason such as `ImagePullBackOff`, until [`Kubelet::mend_image`].
    #[must_use]
    pub fn broken_image(mut self, image: &str, reason: &str) -> Self {
        self.broken.insert(image.into(), reason.into());
        self
    }

    /// How long the second restart of a container waits; each further one waits twice as long, up to five minutes.
    /// Otherwise 10 s.
    #[must_use]
    pub fn back_off(mut self, first: Duration) -> Self {
        self.back_off = first;
        self
    }

    /// Starts it.
    pub fn start(self) -> Kubelet {
        let folder = TempDir::with_prefix("maestro-kubelet-").unwrap();
        let shared = Shared {
            client: self.client,
            server: self.server,
            ready_after: self.ready_after,
            programs: self.programs,
            images: self.images,
            broken: Mutex::new(self.broken),
            back_off: self.back_off,
            writes: Semaphore::new(WRITES),
            addresses: AtomicU32::new(0),
            groups: Groups::new(folder.path()),
            folder,
        };
        let dispatcher = Arc::new(Dispatcher::new(shared, &self.nodes));
        let task = Arc::clone(&dispatcher).run(self.has_heartbeats);
        let task = tokio::spawn(task);
        Kubelet {
            task: task.abort_handle(),
            dispatcher,
        }
    }
}
