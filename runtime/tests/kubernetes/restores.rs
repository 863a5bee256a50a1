//! A backup of etcd is restored: the contents of the cluster are older than what a watch has told.

use crate::bare::{account, grow};
use crate::site::{Site, settings};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use maestro_core::ports::{RuntimeError, RuntimeEvent};
use maestro_runtime::kubernetes::{Access, KubernetesRuntime};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ApiProxy, ControlPlane, Fault, Snapshot};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const NAME: &str = "restored";
/// In the backup.
const ONE: &str = "restored-one";
/// Made after it.
const TWO: &str = "restored-two";
/// How often the version is looked at, and how long a watch lasts.
const WATCH: Duration = Duration::from_secs(4);

/// A watch has told of two rooms; a backup knows the first one.
struct Restored {
    plane: ControlPlane,
    proxy: ApiProxy,
    site: Site,
    stage: Stage,
    backup: Snapshot,
}

impl Restored {
    async fn open() -> Option<Self> {
        let plane = ControlPlane::start_api_server().await?;
        let plane = Some(plane).filter(ControlPlane::is_own_or_skip)?;
        let proxy = ApiProxy::start(plane.kubeconfig()).await;
        let mut settings = settings(&plane);
        settings.watch_timeout = WATCH;
        settings.access = Access::Kubeconfig {
            path: proxy.kubeconfig(),
            master_url: None,
        };
        let site = Site {
            runtime: KubernetesRuntime::open(settings).await.unwrap(),
            client: plane.client().await,
        };
        let stage = Stage::set(&site, scheduler(NAME, RUNS)).await;
        account(&site.client, NAME).await;
        stage.create(ONE).await.unwrap();
        let backup = plane.snapshot().await;
        Some(Self {
            plane,
            proxy,
            site,
            stage,
            backup,
        })
    }

    /// The answer: its version.
    async fn make_two(&mut self) -> u64 {
        while let Err(error) = self.stage.create(TWO).await {
            assert!(matches!(error, RuntimeError::Unavailable(_)), "{error}");
        }
        let pods: Api<Pod> = Api::namespaced(self.site.client.clone(), NAME);
        let version = pods.get(TWO).await.unwrap().resource_version();
        let is_two = |event: &RuntimeEvent| match event {
            RuntimeEvent::Changed(i) => (i.room.as_str() == TWO).then_some(()),
            RuntimeEvent::Listed(all) => (all.len() == 2).then_some(()),
            RuntimeEvent::Gone { .. } => None,
        };
        self.stage.until(is_two).await;
        version.unwrap().parse().unwrap()
    }

    async fn until_one(&mut self) {
        let is_one = |event: &RuntimeEvent| match event {
            RuntimeEvent::Listed(all) => (all.len() == 1).then(|| all[0].room.to_string()),
            _ => None,
        };
        assert_eq!(self.stage.until(is_one).await, ONE);
    }

    fn asked(&self, kind: impl Fn(&ApiCall) -> bool) -> usize {
        self.proxy.calls().iter().filter(|call| kind(call)).count()
    }

    async fn until_asked(&self, kind: impl Fn(&ApiCall) -> bool + Copy, times: usize) {
        let enough = self.asked(kind) + times;
        let asked = async {
            while self.asked(kind) < enough {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(self.stage.patience, asked).await.unwrap();
    }
}

fn is_of_pods(call: &ApiCall) -> bool {
    call.path == "/api/v1/pods"
}

fn is_list(call: &ApiCall) -> bool {
    is_of_pods(call) && call.query.contains("limit=500")
}

/// The look at the version of the contents.
fn is_probe(call: &ApiCall) -> bool {
    is_of_pods(call) && call.query.ends_with("limit=1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_of_the_cluster_the_list_counts() {
    let Some(mut cluster) = Restored::open().await else {
        return;
    };
    let first = cluster.make_two().await;
    cluster.plane.restore(&cluster.backup).await;
    cluster.until_one().await;

    // The watch hears of no end, and the next one would begin in a future that is lost: no error tells of it.
    grow(&cluster.site.client, NAME, first + 300).await;
    let lost = cluster.make_two().await;
    cluster.proxy.mute_watches(true);
    cluster.plane.restore(&cluster.backup).await;
    cluster.proxy.mute_watches(false);
    cluster.until_one().await;
    // It is one list, although the versions are still lower.
    let lists = cluster.asked(is_list);
    cluster.until_asked(is_probe, 2).await;
    assert_eq!(cluster.asked(is_list), lists);

    // While the watch is broken the contents grow beyond its place, which is one of another history then.
    let again = cluster.make_two().await;
    assert!(
        again < lost,
        "{again} of {lost}: there is no restore to look at"
    );
    cluster
        .proxy
        .set(|call| is_of_pods(call).then_some(Fault::Reset));
    cluster.proxy.reset_watches();
    cluster.until_asked(is_of_pods, 4).await;
    cluster.plane.restore(&cluster.backup).await;
    grow(&cluster.site.client, NAME, again).await;
    cluster.proxy.set(|_| None);
    cluster.until_one().await;
}
