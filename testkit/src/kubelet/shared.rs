//! What all pods of a kubelet use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::process::Groups;

/// Settings, connections, and processes.
pub(super) struct Shared {
    pub(super) client: Client,
    /// `host:port` of the API server, for clients in pods.
    pub(super) server: Option<String>,
    pub(super) ready_after: Option<Duration>,
    pub(super) programs: HashMap<String, PathBuf>,
    pub(super) images: HashMap<String, Vec<String>>,
    /// The reasons why images cannot be had.
    pub(super) broken: Mutex<HashMap<String, String>>,
    pub(super) back_off: Duration,
    pub(super) writes: Semaphore,
    pub(super) addresses: AtomicU32,
    pub(super) groups: Groups,
    pub(super) folder: TempDir,
}

impl Shared {
    /// The folder of a pod's files.
    pub(super) fn folder(&self, uid: &str) -> PathBuf {
        self.folder.path().join(uid)
    }

    pub(super) fn log(&self, uid: &str, container: &str) -> PathBuf {
        self.folder(uid).join(format!("{container}.log"))
    }
}
