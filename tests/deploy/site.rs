//! One control plane with one node for all tests of this program, on which Maestro's namespace and rights are
//! installed as an operator does it.

use crate::support::BINARY;
use maestro_testkit::control_plane::{ControlPlane, TestNode};
use maestro_testkit::kubelet::Kubelet;
use std::path::Path;
use std::sync::{Arc, LazyLock, mpsc};

/// The node of the rooms.
const NODE: &str = "deploy";
/// The namespace and the service account of the manifests.
pub const MAESTRO: &str = "maestro";

/// The kubelet lives on a runtime of its own: that of a test ends with it.
static PLANE: LazyLock<Option<Arc<ControlPlane>>> = LazyLock::new(|| {
    let (started, starts) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let Some(plane) = ControlPlane::start().await else {
                let _ = started.send(None);
                return;
            };
            install(&plane, "common");
            plane.register_node(&TestNode::new(NODE)).await;
            let kubelet = Kubelet::of(&plane, &[NODE]).await;
            let _kubelet = kubelet.program("maestro", Path::new(BINARY)).start();
            let _ = started.send(Some(Arc::new(plane)));
            std::future::pending::<()>().await;
        });
    });
    starts.recv().unwrap()
});

/// `None` without the programs, and on a cluster that is not to be changed.
pub async fn plane() -> Option<Arc<ControlPlane>> {
    let plane = tokio::task::spawn_blocking(|| PLANE.clone());
    plane.await.unwrap().filter(|plane| plane.is_own_or_skip())
}

/// What `kubectl apply -k deploy/kubernetes/…` does, with unknown fields and warnings as errors.
pub fn install(plane: &ControlPlane, what: &str) {
    let folder = format!("{}/deploy/kubernetes/{what}", env!("CARGO_MANIFEST_DIR"));
    let strict = ["--server-side", "--validate=strict", "--warnings-as-errors"];
    let applied = plane.kubectl(&[&["apply", "-k", &folder], &strict[..]].concat());
    applied.unwrap_or_else(|words| panic!("{what}: {words}"));
}
