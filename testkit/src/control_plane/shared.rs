//! One control plane for the tests of a program: it takes seconds to start, and half a gigabyte.

use std::ops::Deref;
use std::sync::mpsc;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{ControlPlane, node};

/// The namespaces that every cluster has.
const SYSTEM: &[&str] = &["default", "kube-node-lease", "kube-public", "kube-system"];
/// What Maestro puts on its namespaces: a cluster that is not the tests' own may have others.
const OURS: &str = "heritage=maestro";

/// What `start` begins, on a runtime of its own that lasts as long as this program: the runtime of the test that needs
/// it first ends with that test. The second of the pair is only kept, such as a kubelet.
///
/// # Panics
/// If `start` does.
pub fn kept<T, K, F>(start: impl FnOnce() -> F + Send + 'static) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = Option<(T, K)>>,
{
    let (started, starts) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async {
            let (begun, _kept) = start().await.unzip();
            let _ = started.send(begun);
            std::future::pending::<()>().await;
        });
    });
    starts.recv().expect("it starts")
}

static SHARED: OnceCell<Option<RwLock<ControlPlane>>> = OnceCell::const_new();

/// A test's turn on the control plane that all tests of this program share; other tests may have theirs at the same
/// time.
#[derive(Debug)]
pub struct Shared(RwLockReadGuard<'static, ControlPlane>);

/// A test's turn alone: the others wait for its end.
#[derive(Debug)]
pub struct Alone(RwLockWriteGuard<'static, ControlPlane>);

impl ControlPlane {
    /// The control plane of this program's tests, started by the first of them, for a test that minds its own: it
    /// names its namespaces like no other test, and its pods run on its nodes alone or on none. `None` as for
    /// [`Self::start`].
    pub async fn shared() -> Option<Shared> {
        let shared = lock().await?;
        Some(Shared(shared.read().await))
    }

    /// The same control plane for a test that needs it for itself, because its pods may be bound to any node, or
    /// because it stops the API server. There is no node and no pod of another test then. Namespaces of others still
    /// end, which takes the controllers more than five seconds: choose other names.
    pub async fn alone() -> Option<Alone> {
        let alone = Alone(lock().await?.write().await);
        alone.clear().await;
        Some(alone)
    }

    /// Takes away what tests left behind.
    async fn clear(&self) {
        let client = self.harness().await;
        let at_once = DeleteParams::default().grace_period(0);
        let nodes: Api<Node> = Api::all(client.clone());
        let of_tests = ListParams::default().labels(node::LABEL);
        let deleted = nodes.delete_collection(&at_once, &of_tests).await;
        deleted.expect("no nodes");
        let all: Api<Namespace> = Api::all(client.clone());
        let which = if self.is_own() { "" } else { OURS };
        let left = all.list(&ListParams::default().labels(which)).await;
        for namespace in left.expect("namespaces") {
            let name = namespace.name_any();
            let pods: Api<Pod> = Api::namespaced(client.clone(), &name);
            if !SYSTEM.contains(&name.as_str()) {
                // It may be ending already.
                let _ = all.delete(&name, &DeleteParams::default()).await;
            } else if !self.is_own() {
                continue;
            }
            let everything = ListParams::default();
            let deleted = pods.delete_collection(&at_once, &everything).await;
            deleted.expect("no pods");
        }
    }
}

async fn lock() -> Option<&'static RwLock<ControlPlane>> {
    let start = async || ControlPlane::start().await.map(RwLock::new);
    SHARED.get_or_init(start).await.as_ref()
}

impl Deref for Shared {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.0
    }
}

impl Deref for Alone {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.0
    }
}
