//! Nodes that die, and what becomes of the pods on them.

use crate::faults::behind_proxy_with;
use crate::site::{Site, plane};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use maestro_core::ports::{Runtime, RuntimeEvent};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ApiProxy, TestNode};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Each runtime takes care of the whole cluster: that of the other test would delete the pod of this one.
static ALONE: Mutex<()> = Mutex::const_new(());

type Silent = (MutexGuard<'static, ()>, Site, ApiProxy, Stage, Api<Pod>);

/// A node without kubelet that is for this test alone: nobody ends a pod there.
async fn on_silent_node(name: &str) -> Option<Silent> {
    let alone = ALONE.lock().await;
    let plane = plane().await?;
    let node = TestNode::new(name).label(name, "true").dedicated(name);
    plane.register_node(&node).await;
    let site = behind_proxy_with(|settings| {
        settings.silence = Duration::from_secs(1);
        settings.deletion_timeout = Duration::from_secs(1);
    });
    let (site, proxy) = site.await?;
    let mut on_node = scheduler(name, RUNS);
    on_node.spec.affinity = name.into();
    on_node.spec.toleration = name.into();
    let stage = Stage::set(&site, on_node).await;
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), name);
    Some((alone, site, proxy, stage, pods))
}

/// Makes a room, waits until it is on the node, and tells it to end.
async fn deleted(stage: &mut Stage, room: &str) {
    stage.create(room).await.unwrap();
    stage
        .until(|event| match event {
            RuntimeEvent::Changed(i) => {
                (i.room.as_str() == room && i.address.is_some()).then_some(())
            }
            _ => None,
        })
        .await;
    stage.terminate(room, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_ends_with_its_silent_node_and_its_pod_when_the_node_is_gone() {
    let Some((_alone, site, proxy, mut stage, pods)) = on_silent_node("dead-gone").await else {
        return;
    };
    deleted(&mut stage, "dead-gone-0").await;
    let plane = plane().await.unwrap();
    plane.set_node_ready("dead-gone", "Unknown").await;
    let (_, exit) = stage.until_gone(&"dead-gone-0".into()).await;
    assert!(
        exit.reason.contains("dead-gone has not been ready"),
        "{exit:?}"
    );
    let there = pods.get_opt("dead-gone-0").await.unwrap();
    let uid = there.expect("it may run there").metadata.uid.unwrap();
    // Neither a new list nor a later change brings it back.
    assert!(stage.listed().await.is_empty());
    plane.remove_node("dead-gone").await;
    while pods.get_opt("dead-gone-0").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A pod that has its name by then is another one.
    let calls = proxy.calls();
    let is_forced = |call: &&ApiCall| {
        call.method == "DELETE"
            && call.path.ends_with("/dead-gone-0")
            && call.body.contains("\"gracePeriodSeconds\":0")
    };
    let forced = calls.iter().find(is_forced);
    assert!(forced.unwrap().body.contains(&uid), "{forced:?}");
    site.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_a_node_out_of_service_are_deleted_by_force() {
    let Some((_alone, site, _proxy, mut stage, pods)) = on_silent_node("dead-out").await else {
        return;
    };
    deleted(&mut stage, "dead-out-0").await;
    let plane = plane().await.unwrap();
    let taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoSchedule";
    plane
        .kubectl(&["taint", "node", "dead-out", taint])
        .unwrap();
    plane.set_node_ready("dead-out", "Unknown").await;
    let (_, exit) = stage.until_gone(&"dead-out-0".into()).await;
    assert!(exit.reason.contains("dead-out"), "{exit:?}");
    while pods.get_opt("dead-out-0").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let name = &stage.scheduler.name;
    assert!(
        site.runtime
            .log_tail(name, &"dead-out-0".into(), 1)
            .await
            .is_err()
    );
}
