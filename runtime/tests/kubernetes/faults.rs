//! The API server refuses, is slow, loses answers and drops watches.

use crate::open_site;
use crate::site::{NODE, Site, plane, settings};
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::Api;
use kube::api::{ListParams, PostParams};
use maestro_core::domain::{InstanceStatus, PortRange, Trouble};
use maestro_core::ports::{Protection, RuntimeError, RuntimeEvent};
use maestro_runtime::kubernetes::{Access, KubernetesRuntime, KubernetesSettings};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ApiProxy, Fault};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A runtime behind a proxy.
pub async fn behind_proxy() -> Option<(Site, ApiProxy)> {
    behind_proxy_with(|_| ()).await
}

pub async fn behind_proxy_with(
    change: impl FnOnce(&mut KubernetesSettings),
) -> Option<(Site, ApiProxy)> {
    let plane = plane().await?;
    let proxy = ApiProxy::start(plane.kubeconfig()).await;
    let mut settings = settings(&plane);
    settings.watch_timeout = Duration::from_secs(2);
    change(&mut settings);
    settings.access = Access::Kubeconfig {
        path: proxy.kubeconfig(),
        master_url: None,
    };
    let site = Site {
        runtime: KubernetesRuntime::open(settings).await.unwrap(),
        client: plane.client().await,
    };
    Some((site, proxy))
}

fn is_creation(call: &ApiCall) -> bool {
    call.method == "POST" && call.path.ends_with("/pods")
}

fn is_watch(call: &ApiCall) -> bool {
    call.query.contains("watch=true")
}

/// Waits for a room that no node has a place for, since others have its ports.
pub async fn until_ports_are_taken(stage: &mut Stage) {
    let (trouble, text) = stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => Some((i.trouble?, i.description.clone())),
            _ => None,
        })
        .await;
    assert_eq!(trouble, Trouble::PortsTaken, "{text}");
    assert!(text.contains("free ports"), "{text}");
}

async fn until_ready(stage: &mut Stage, room: &str) {
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) if i.status == InstanceStatus::Ready => {
                (i.room.as_str() == room).then_some(())
            }
            RuntimeEvent::Listed(all) => {
                let ready = |i: &&maestro_core::domain::Instance| i.status == InstanceStatus::Ready;
                let found = all.iter().filter(ready).any(|i| i.room.as_str() == room);
                found.then_some(())
            }
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_whose_answer_is_lost_makes_one_pod() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("faults-lost", RUNS)).await;
    let lost = AtomicU32::new(0);
    proxy.set(move |call| {
        let first = is_creation(call) && lost.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::LoseAnswer)
    });
    let created = stage.create("faults-lost-one").await.unwrap();
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "faults-lost");
    let all = pods.list(&ListParams::default()).await.unwrap().items;
    let uids: Vec<_> = all
        .iter()
        .filter_map(|pod| pod.metadata.uid.as_deref())
        .collect();
    assert_eq!(uids, [created.uid.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_whose_answer_is_lost_is_not_refused_for_the_quota_that_it_used_up() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("faults-quota", RUNS)).await;
    let quotas: Api<ResourceQuota> = Api::namespaced(site.client.clone(), "faults-quota");
    let one = json!({"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}});
    let one = serde_json::from_value(one).unwrap();
    quotas.create(&PostParams::default(), &one).await.unwrap();
    let is_counted =
        |quota: ResourceQuota| quota.status.is_some_and(|status| status.used.is_some());
    while !is_counted(quotas.get("one").await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lost = AtomicU32::new(0);
    proxy.set(move |call| {
        let first = is_creation(call) && lost.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::LoseAnswer)
    });
    stage.create("faults-quota-one").await.unwrap();
    let refused = stage.create("faults-quota-two").await;
    assert!(
        matches!(&refused, Err(RuntimeError::Exhausted(cause)) if cause.text().contains("quota")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_that_pass_are_repeated_and_others_told() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("faults-refused", RUNS)).await;
    let refusal = |code, reason| Fault::Refuse {
        code,
        reason,
        retry_after: None,
    };
    let tries = AtomicU32::new(0);
    proxy.set(move |call| match is_creation(call) {
        true => match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Some(Fault::Refuse {
                code: 429,
                reason: "TooManyRequests",
                retry_after: Some(1),
            }),
            1 => Some(refusal(500, "InternalError")),
            2 => Some(refusal(503, "ServiceUnavailable")),
            _ => None,
        },
        false => None,
    });
    stage.create("faults-refused-one").await.unwrap();
    let tries = proxy.calls().into_iter().filter(is_creation);
    let at: Vec<_> = tries.map(|call| call.at).collect();
    assert_eq!(at.len(), 4);
    // It was told to wait, and waits longer each time.
    for (number, least) in [0.99, 0.049, 0.249].into_iter().enumerate() {
        let waited = at[number + 1].duration_since(at[number]).as_secs_f64();
        assert!(waited >= least, "after try {number} for {waited} s");
    }
    // How often each is tried, and what comes of it.
    for (code, reason, expected) in [
        (503, "ServiceUnavailable", 4),
        (409, "AlreadyExists", 1),
        (422, "Invalid", 1),
    ] {
        proxy.set(move |call| is_creation(call).then(|| refusal(code, reason)));
        let before = proxy.calls().len();
        let refused = stage.create("faults-refused-two").await;
        let tried = proxy.calls().into_iter().skip(before).filter(is_creation);
        assert_eq!(tried.count(), expected, "{reason}");
        assert_eq!(
            matches!(refused, Err(RuntimeError::Invalid(_))),
            code == 422,
            "{refused:?}"
        );
        assert!(refused.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_waits_for_the_account_of_its_namespace_and_a_lost_namespace_is_no_lost_room() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("faults-account", RUNS)).await;
    let tries = AtomicU32::new(0);
    proxy.set(move |call| {
        let early = is_creation(call) && tries.fetch_add(1, Ordering::Relaxed) < 3;
        early.then_some(Fault::Refuse {
            code: 403,
            reason: "error looking up service account",
            retry_after: None,
        })
    });
    stage.create("faults-account-one").await.unwrap();
    proxy.set(|call| {
        is_creation(call).then_some(Fault::Refuse {
            code: 404,
            reason: "NotFound",
            retry_after: None,
        })
    });
    // `NotFound` would be taken for the end of the room.
    let refused = stage.create("faults-account-two").await;
    assert!(
        matches!(refused, Err(RuntimeError::Unavailable(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_does_not_answer_gets_no_pile_of_calls() {
    const QPS: u32 = 2;
    let slow = behind_proxy_with(|settings| (settings.qps, settings.burst) = (QPS, 100));
    let Some((site, proxy)) = slow.await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("faults-pile", RUNS)).await;
    proxy.set(|call| is_creation(call).then_some(Fault::Ignore));
    for number in 0..20 {
        let order = stage.order(&format!("faults-pile-{number}")).await.unwrap();
        let runtime = stage.runtime.clone();
        tokio::spawn(async move { runtime.create(&order).await });
    }
    let sent = || {
        proxy
            .calls()
            .iter()
            .filter(|call| is_creation(call))
            .count()
    };
    while sent() < 2 * QPS as usize {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sent(), 2 * QPS as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_counts_against_the_rate() {
    const QPS: u32 = 20;
    const BURST: u32 = 5;
    let slow = behind_proxy_with(|settings| (settings.qps, settings.burst) = (QPS, BURST));
    let Some((site, proxy)) = slow.await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("faults-rate", RUNS)).await;
    // Four tries of each creation.
    proxy.set(|call| {
        is_creation(call).then_some(Fault::Refuse {
            code: 503,
            reason: "ServiceUnavailable",
            retry_after: None,
        })
    });
    let (before, began) = (proxy.calls().len(), Instant::now());
    let names: Vec<String> = (0..10).map(|n| format!("faults-rate-{n}")).collect();
    let tried = join_all(names.iter().map(|name| stage.create(name))).await;
    assert!(tried.iter().all(Result::is_err), "{tried:?}");
    // A look at the budget, and a change of it.
    for number in 1..=10 {
        let order = Protection {
            number,
            all: true,
            ..Protection::default()
        };
        let name = &stage.scheduler.name;
        stage.runtime.protect(name, &order).await.unwrap();
    }
    let allowed = f64::from(BURST) + f64::from(QPS) * began.elapsed().as_secs_f64();
    let calls = proxy.calls().split_off(before);
    // The watch begins with lists, and is no call.
    let made = calls.iter().filter(|call| !call.query.contains("limit="));
    let made = made.filter(|call| !is_watch(call)).count();
    assert!(made >= 60, "{made}");
    assert!(made as f64 <= allowed + 1.0, "{made} of {allowed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_not_answered_ends_and_one_that_waits_for_its_turn_does_not() {
    let slow = behind_proxy_with(|settings| {
        (settings.qps, settings.burst) = (1, 1);
        settings.call_timeout = Duration::from_secs(4);
    });
    let Some((site, proxy)) = slow.await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("faults-turn", RUNS)).await;
    let names: Vec<String> = (0..6).map(|n| format!("faults-turn-{n}")).collect();
    // The last of them is sent after five seconds, and has its time for another try then.
    let sent = AtomicU32::new(0);
    proxy.set(move |call| {
        let is_last = is_creation(call) && sent.fetch_add(1, Ordering::Relaxed) == 5;
        is_last.then_some(Fault::Refuse {
            code: 503,
            reason: "ServiceUnavailable",
            retry_after: None,
        })
    });
    for made in join_all(names.iter().map(|name| stage.create(name))).await {
        made.unwrap();
    }
    proxy.set(|call| is_creation(call).then_some(Fault::Ignore));
    let unanswered = stage.create("faults-turn-last").await;
    assert!(
        matches!(unanswered, Err(RuntimeError::Unavailable(_))),
        "{unanswered:?}"
    );
    proxy.set(|_| None);
    stage.create("faults-turn-last").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_reset_misses_nothing() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let mut stage = Stage::set(&site, scheduler("faults-reset", RUNS)).await;
    stage.create("faults-reset-one").await.unwrap();
    proxy.reset_watches();
    until_ready(&mut stage, "faults-reset-one").await;
    proxy.set(|call| is_watch(call).then_some(Fault::Reset));
    proxy.reset_watches();
    stage.create("faults-reset-two").await.unwrap();
    stage.terminate("faults-reset-one", None).await.unwrap();
    proxy.set(|_| None);
    let mut one = false;
    let mut two = false;
    while !(one && two) {
        match stage.next().await {
            RuntimeEvent::Gone { room, .. } => one |= room.as_str() == "faults-reset-one",
            RuntimeEvent::Changed(i) => {
                let is_two = i.room.as_str() == "faults-reset-two";
                two |= is_two && i.status == InstanceStatus::Ready;
            }
            // The watch could not go on for too long.
            RuntimeEvent::Listed(all) => {
                let find = |name: &str| all.iter().find(|i| i.room.as_str() == name);
                one |= find("faults-reset-one").is_none();
                two |= find("faults-reset-two").is_some_and(|i| i.status == InstanceStatus::Ready);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_gone_leads_to_a_new_list() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let mut stage = Stage::set(&site, scheduler("faults-gone", RUNS)).await;
    stage.create("faults-gone-one").await.unwrap();
    let expired = AtomicU32::new(0);
    proxy.set(move |call| {
        let first = is_watch(call) && expired.fetch_add(1, Ordering::Relaxed) == 0;
        first.then_some(Fault::Refuse {
            code: 410,
            reason: "Expired",
            retry_after: None,
        })
    });
    proxy.reset_watches();
    stage
        .until(|event| matches!(event, RuntimeEvent::Listed(all) if all.len() == 1).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_hears_nothing_is_replaced() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let mut stage = Stage::set(&site, scheduler("faults-mute", RUNS)).await;
    proxy.mute_watches(true);
    stage.create("faults-mute-one").await.unwrap();
    // By then the watch has lost something.
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "faults-mute");
    let is_running = |pod: Pod| {
        pod.status
            .is_some_and(|s| s.phase.as_deref() == Some("Running"))
    };
    while !is_running(pods.get("faults-mute-one").await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    proxy.mute_watches(false);
    until_ready(&mut stage, "faults-mute-one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_api_server_is_away_nothing_is_concluded() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let mut stage = Stage::set(&site, scheduler("faults-away", RUNS)).await;
    stage.create("faults-away-one").await.unwrap();
    until_ready(&mut stage, "faults-away-one").await;
    let refusal = |code, reason| Fault::Refuse {
        code,
        reason,
        retry_after: None,
    };
    // It resets, has had enough, fails, and takes no token: one that has expired, while the next is being mounted.
    for (number, fault) in [
        Fault::Reset,
        refusal(429, "TooManyRequests"),
        refusal(500, "InternalError"),
        refusal(401, "Unauthorized"),
    ]
    .into_iter()
    .enumerate()
    {
        let shown = format!("{fault:?}");
        proxy.set(move |_| Some(fault.clone()));
        proxy.reset_watches();
        let room = format!("faults-away-{number}");
        let away = stage.create(&room).await;
        assert!(
            matches!(away, Err(RuntimeError::Unavailable(_))),
            "{shown}: {away:?}"
        );
        let ended = stage.terminate("faults-away-one", None).await;
        assert!(
            matches!(ended, Err(RuntimeError::Unavailable(_))),
            "{shown}: {ended:?}"
        );
        let quiet = tokio::time::timeout(Duration::from_secs(1), stage.next()).await;
        assert!(quiet.is_err(), "{shown}: {quiet:?}");
        proxy.set(|_| None);
        stage.create(&room).await.unwrap();
        until_ready(&mut stage, &room).await;
    }
    assert_eq!(stage.listed().await.len(), 5);
}

/// Rooms that were ready must not lose that to a list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_waits_for_the_addresses_of_its_nodes() {
    let site = open_site!();
    let mut stage = Stage::set(&site, scheduler("faults-nodes", RUNS)).await;
    stage.create("faults-nodes-one").await.unwrap();
    until_ready(&mut stage, "faults-nodes-one").await;
    let plane = plane().await.unwrap();
    let proxy = ApiProxy::start(plane.kubeconfig()).await;
    let is_node = |call: &ApiCall| call.path.starts_with("/api/v1/nodes/");
    proxy.set(move |call| is_node(call).then_some(Fault::Delay(Duration::from_secs(1))));
    let next = Site::by(&plane, proxy.kubeconfig()).await;
    let mut stage = Stage::resume(&next, stage.scheduler.clone()).await;
    let RuntimeEvent::Listed(all) = stage.next().await else {
        panic!("a watch begins with a list");
    };
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].status, InstanceStatus::Ready, "{:?}", all[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_change_while_the_version_of_the_contents_is_asked_for_are_no_restore() {
    let Some((site, proxy)) = behind_proxy().await else {
        return;
    };
    let mut stage = Stage::set(&site, scheduler("faults-version", RUNS)).await;
    let asks = |call: &ApiCall| call.query.split('&').any(|part| part == "limit=1");
    proxy.set(move |call| asks(call).then_some(Fault::LateAnswer(Duration::from_millis(500))));
    let begun = proxy.calls().len();
    let mut number = 0;
    // The answer to the first is there when the third is asked.
    while proxy.calls()[begun..]
        .iter()
        .filter(|call| asks(call))
        .count()
        < 3
    {
        number += 1;
        let room = format!("faults-version-{number}");
        stage.create(&room).await.unwrap();
        stage
            .until(|event| match event {
                RuntimeEvent::Changed(i) => (i.room.as_str() == room).then_some(()),
                RuntimeEvent::Listed(_) => panic!("listed anew"),
                RuntimeEvent::Gone { .. } => None,
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_a_range_that_is_nearly_full_find_their_node() {
    let site = open_site!();
    let mut many = scheduler("faults-ports", RUNS);
    many.port_range = Some(PortRange {
        start: 30_000,
        end: 30_039,
    });
    many.spec.containers[0].requests.cpu = "1m".into();
    let mut stage = Stage::set(&site, many).await;
    // 38 of 40 ports.
    let rooms: Vec<String> = (0..19)
        .map(|number| format!("faults-ports-{number}"))
        .collect();
    for room in &rooms {
        stage.create(room).await.unwrap();
    }
    let mut ready = std::collections::HashSet::new();
    while ready.len() < rooms.len() {
        if let RuntimeEvent::Changed(instance) = stage.next().await {
            assert!(!instance.description.contains("free ports"), "{instance:?}");
            if instance.status == InstanceStatus::Ready {
                ready.insert(instance.room);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_a_foreign_pod_has_is_told() {
    let site = open_site!();
    let mut one = scheduler("faults-taken", RUNS);
    one.spec.containers[0].ports.truncate(1);
    one.port_range = Some(PortRange {
        start: 30_100,
        end: 30_100,
    });
    let mut stage = Stage::set(&site, one).await;
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), "faults-taken");
    let port = json!({"containerPort": 7777, "hostPort": 30_100, "protocol": "UDP"});
    let pod = json!({
        "metadata": {"name": "foreign"},
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "x", "image": "x", "command": ["sleep", "1000"], "ports": [port]}],
        },
    });
    // The namespace's service account may not be there yet.
    let pod: Pod = serde_json::from_value(pod).unwrap();
    while pods.create(&PostParams::default(), &pod).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.create("faults-taken-one").await.unwrap();
    until_ports_are_taken(&mut stage).await;
}
