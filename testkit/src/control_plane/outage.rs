//! What happens to a control plane: its programs fail and come back, its history is forgotten, a backup is restored.

use tempfile::TempDir;

use super::{ControlPlane, etcd};

/// A copy of everything that the cluster knew.
#[derive(Debug)]
pub struct Snapshot(TempDir);

impl ControlPlane {
    /// The process ids of its programs, the API server's first.
    ///
    /// # Panics
    /// If it was not started here.
    pub async fn pids(&self) -> Vec<u32> {
        self.own().programs.lock().await.pids()
    }

    /// Ends the API server as a failure does: connections are reset, and new ones refused.
    ///
    /// # Panics
    /// If it was not started here, or is stopped.
    pub async fn stop_api_server(&self) {
        self.own().programs.lock().await.kill_api();
    }

    /// Starts it again at its port. It has forgotten what changed before: watches that go on from there are told that
    /// their version is too old.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_api_server_again(&self) {
        let mut programs = self.own().programs.lock().await;
        programs.start_api().await.unwrap();
    }

    /// Holds the API server still, or lets it go on: calls wait, and connections stay open.
    ///
    /// # Panics
    /// If it was not started here, or is stopped.
    pub async fn pause_api_server(&self, on: bool) {
        self.own().programs.lock().await.api().pause(on);
    }

    /// Forgets the history before now. For what the API server remembers of it, it is started again if it runs.
    ///
    /// # Panics
    /// If it was not started here.
    pub async fn compact(&self) {
        let mut programs = self.own().programs.lock().await;
        etcd::compact(&programs.etcd_address()).await;
        if programs.has_api() {
            programs.kill_api();
            programs.start_api().await.unwrap();
        }
    }

    /// Copies everything that the cluster knows, to restore it later.
    ///
    /// # Panics
    /// If it was not started here.
    pub async fn snapshot(&self) -> Snapshot {
        let copy = TempDir::with_prefix("maestro-kube-snapshot-").unwrap();
        let mut programs = self.own().programs.lock().await;
        programs.kill_etcd();
        etcd::copy(&programs.path("etcd"), copy.path());
        programs.start_etcd().await.unwrap();
        Snapshot(copy)
    }

    /// Sets the cluster back to what it was then, as an operator restores a backup: everything is stopped, and started
    /// on the old contents.
    ///
    /// # Panics
    /// If it was not started here.
    pub async fn restore(&self, snapshot: &Snapshot) {
        let mut programs = self.own().programs.lock().await;
        programs.restore(snapshot.0.path()).await.unwrap();
    }
}
