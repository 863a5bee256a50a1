//! One control plane with one node for all tests of this program, and a runtime for each test.

use kube::Client;
use maestro_core::ports::Runtime;
use maestro_runtime::kubernetes::{Access, KubernetesRuntime, KubernetesSettings};
use maestro_testkit::contract::runtime::Harness;
use maestro_testkit::control_plane::{ControlPlane, TestNode};
use maestro_testkit::kubelet::Kubelet;
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

/// The node of the rooms.
pub const NODE: &str = "runtime";

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
            plane.register_node(&TestNode::new(NODE)).await;
            let _kubelet = Kubelet::of(&plane, &[NODE]).await.start();
            let _ = started.send(Some(Arc::new(plane)));
            std::future::pending::<()>().await;
        });
    });
    starts.recv().unwrap()
});

/// `None` without the programs.
pub async fn plane() -> Option<Arc<ControlPlane>> {
    let plane = tokio::task::spawn_blocking(|| PLANE.clone());
    plane.await.unwrap()
}

/// With all rights.
pub fn settings(plane: &ControlPlane) -> KubernetesSettings {
    KubernetesSettings::new(Access::Kubeconfig {
        path: plane.kubeconfig().to_owned(),
        master_url: None,
    })
}

pub struct Site {
    pub runtime: Arc<KubernetesRuntime>,
    pub client: Client,
}

impl Site {
    pub async fn open() -> Option<Self> {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut KubernetesSettings)) -> Option<Self> {
        let plane = plane().await?;
        let mut settings = settings(&plane);
        change(&mut settings);
        Some(Self {
            runtime: KubernetesRuntime::open(settings).await.unwrap(),
            client: plane.client().await,
        })
    }
}

impl Harness for Site {
    fn runtime(&self) -> Arc<dyn Runtime> {
        self.runtime.clone()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(40)
    }
}
