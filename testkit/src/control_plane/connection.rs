//! Clients, and waiting for what a control plane does by itself.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::{Instant, sleep};

/// How long anything may take that the control plane does by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// The polling interval.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A client of what a kubeconfig says.
pub(super) async fn connect(kubeconfig: &Path) -> Client {
    Client::try_from(config(kubeconfig).await).expect("a cluster")
}

/// A client of one of the other programs, whose certificate is its own.
pub(super) async fn connect_to(kubeconfig: &Path, server: &str) -> Client {
    let mut config = config(kubeconfig).await;
    config.cluster_url = server.parse().expect("a cluster");
    config.accept_invalid_certs = true;
    Client::try_from(config).expect("a cluster")
}

async fn config(kubeconfig: &Path) -> Config {
    let file = Kubeconfig::read_from(kubeconfig).expect("a cluster");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.expect("a cluster");
    config.default_retry = false;
    config
}

/// Returns once this level holds, which the control plane brings about.
pub(super) async fn until(what: &str, mut level: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !level().await {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        sleep(LOOK_EVERY).await;
    }
}
