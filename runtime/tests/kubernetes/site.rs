//! One control plane with one node for all tests of this program, and a runtime for each test.

use kube::Client;
use maestro_core::ports::Runtime;
use maestro_runtime::kubernetes::{Access, KubernetesRuntime, KubernetesSettings};
use maestro_testkit::contract::runtime::Harness;
use maestro_testkit::control_plane::{ControlPlane, TestNode, kept};
use maestro_testkit::kubelet::Kubelet;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The node of the rooms.
pub const NODE: &str = "runtime";

static PLANE: LazyLock<Option<Arc<ControlPlane>>> = LazyLock::new(|| kept(start));

async fn start() -> Option<(Arc<ControlPlane>, Kubelet)> {
    let plane = ControlPlane::start().await?;
    plane.register_node(&TestNode::new(NODE)).await;
    let kubelet = Kubelet::of(&plane, &[NODE]).await.start();
    Some((Arc::new(plane), kubelet))
}

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
        Some(Self::on(&plane, settings).await)
    }

    /// With the credentials, or through the proxy, of this kubeconfig.
    pub async fn by(plane: &ControlPlane, kubeconfig: PathBuf) -> Self {
        let mut settings = settings(plane);
        settings.access = Access::Kubeconfig {
            path: kubeconfig,
            master_url: None,
        };
        Self::on(plane, settings).await
    }

    async fn on(plane: &ControlPlane, settings: KubernetesSettings) -> Self {
        Self {
            runtime: KubernetesRuntime::open(settings).await.unwrap(),
            client: plane.client().await,
        }
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
