//! The number of a budget is lowered to what the disruption controller has counted, and by nobody who has not seen the
//! latest one (contract 4.9, D11). There is no such controller here: the tests count.

use crate::bare::plane;
use crate::site::Site;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use maestro_core::ports::Protection;
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ApiProxy, ControlPlane};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A scheduler whose budget is too high from the second order on.
struct Lowered {
    plane: Arc<ControlPlane>,
    proxy: ApiProxy,
    stage: Stage,
    budgets: Api<PodDisruptionBudget>,
}

impl Lowered {
    /// Two rooms are protected, and so many are counted.
    async fn with(name: &str, counted: i32) -> Option<Self> {
        let plane = plane().await?;
        let proxy = ApiProxy::start(plane.kubeconfig()).await;
        let site = Site::by(&plane, proxy.kubeconfig()).await;
        let lowered = Self {
            stage: Stage::set(&site, scheduler(name, RUNS)).await,
            budgets: Api::namespaced(site.client, name),
            plane,
            proxy,
        };
        lowered.order(2, true).await;
        assert_eq!(lowered.number().await, 2);
        lowered.count(counted).await;
        Some(lowered)
    }

    fn name(&self) -> &str {
        self.stage.scheduler.name.as_str()
    }

    /// There are no such rooms, which is no trouble.
    async fn order(&self, number: usize, all: bool) {
        let rooms = (0..2).map(|n| format!("{}-{n}", self.name()).as_str().into());
        let (on, off) = rooms
            .enumerate()
            .partition::<Vec<_>, _>(|(n, _)| *n < number);
        let named = |rooms: Vec<(usize, _)>| rooms.into_iter().map(|(_, room)| room).collect();
        let order = Protection {
            on: if all { named(on) } else { Vec::new() },
            off: named(off),
            number,
            all,
        };
        let runtime = &self.stage.runtime;
        let done = runtime.protect(&self.stage.scheduler.name, &order).await;
        done.unwrap();
    }

    async fn budget(&self) -> PodDisruptionBudget {
        self.budgets.get(self.name()).await.unwrap()
    }

    async fn number(&self) -> i32 {
        match self.budget().await.spec.unwrap().min_available {
            Some(IntOrString::Int(number)) => number,
            other => panic!("{other:?}"),
        }
    }

    async fn count(&self, pods: i32) {
        let status = json!({"status": {
            "expectedPods": pods, "currentHealthy": pods, "desiredHealthy": pods, "disruptionsAllowed": 0,
        }});
        let (how, status) = (PatchParams::default(), Patch::Merge(status));
        let counted = self.budgets.patch_status(self.name(), &how, &status).await;
        counted.unwrap();
    }

    /// What the runtime asked for about the budget: methods and bodies.
    fn asked(&self) -> Vec<ApiCall> {
        let calls = self.proxy.calls().into_iter();
        let calls = calls.filter(|call| call.path.contains("poddisruptionbudgets"));
        calls.collect()
    }
}

fn edit(plane: &ControlPlane, name: &str, number: i32) {
    let number = format!("{{\"spec\":{{\"minAvailable\":{number}}}}}");
    let words = [
        "patch",
        "pdb",
        name,
        "-n",
        name,
        "--type=merge",
        "-p",
        &number,
    ];
    plane.kubectl(&words).unwrap();
}

async fn soon(what: &str, is_so: impl AsyncFn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < until, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_not_lowered_below_the_pods_that_are_counted() {
    let Some(budget) = Lowered::with("lowered-counted", 2).await else {
        return;
    };
    budget.order(1, false).await;
    let is_asked_to_count = async || {
        let found = budget.budget().await;
        assert_eq!(budget.number().await, 2, "two are counted");
        found.annotations().contains_key("maestro.recount")
    };
    soon("it is asked to count", is_asked_to_count).await;
    budget.count(1).await;
    // The tries may have ended before.
    budget.order(1, true).await;
    soon("one is counted", async || budget.number().await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_another_has_written_is_not_lowered() {
    let Some(budget) = Lowered::with("lowered-edited", 1).await else {
        return;
    };
    edit(&budget.plane, budget.name(), 7);
    let before = budget.asked().len();
    budget.order(1, false).await;
    let since = || budget.asked().split_off(before);
    soon("a look", async || !since().is_empty()).await;
    // It has its turn after what follows from that look, and looks itself.
    budget.order(1, false).await;
    let methods: Vec<String> = since().into_iter().map(|call| call.method).collect();
    assert_eq!(
        methods[..2],
        ["GET", "GET"],
        "nothing is written in between"
    );
    // It knows the number now.
    soon("it is lowered", async || budget.number().await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_another_writes_meanwhile_is_not_lowered() {
    let Some(budget) = Lowered::with("lowered-meanwhile", 1).await else {
        return;
    };
    let (plane, is_first) = (budget.plane.clone(), AtomicBool::new(true));
    let lowers = |call: &ApiCall| call.method == "PATCH" && call.body.contains("minAvailable");
    budget.proxy.set(move |call| {
        if lowers(call) && is_first.swap(false, Ordering::Relaxed) {
            tokio::task::block_in_place(|| edit(&plane, "lowered-meanwhile", 7));
        }
        None
    });
    let before = budget.asked().len();
    budget.order(1, false).await;
    let looks_again = async || {
        let asked = budget.asked().split_off(before);
        let Some(lowered) = asked.iter().position(lowers) else {
            return false;
        };
        assert_eq!(budget.number().await, 7);
        asked[lowered..].iter().any(|call| call.method == "GET")
    };
    soon("it looks what became of it", looks_again).await;
}
