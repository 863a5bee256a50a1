use super::*;
use crate::kubernetes::dead::Ending;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use maestro_core::ports::RuntimeEvent;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn index() -> Arc<Index> {
    let feeds = Feeds::new(0, CancellationToken::new()).incomplete();
    Arc::new(Index::new(Arc::new(feeds), None))
}

fn seen(room: &str, uid: &str, version: u64, node: Option<&str>) -> SeenPod {
    let phase = if node.is_some() { "Running" } else { "Pending" };
    in_phase(phase, room, uid, version, node)
}

fn in_phase(phase: &str, room: &str, uid: &str, version: u64, node: Option<&str>) -> SeenPod {
    let port =
        json!({"name": "game", "containerPort": 7777, "hostPort": 21_000, "protocol": "UDP"});
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": room, "namespace": "s", "uid": uid, "resourceVersion": version.to_string(),
            "labels": {"version": "v1.0.0"},
        },
        "spec": {"nodeName": node, "containers": [{"name": "game", "ports": [port]}]},
        "status": {"phase": phase},
    }))
    .unwrap();
    SeenPod::of(&pod).unwrap()
}

fn scheduler() -> SchedulerName {
    "s".into()
}

/// A scheduler whose range is one port.
fn with_one_port() -> Scheduler {
    let mut of = Scheduler {
        name: scheduler(),
        port_range: Some(PortRange {
            start: 21_000,
            end: 21_000,
        }),
        ..Default::default()
    };
    let container = Container {
        ports: vec![ContainerPort::default()],
        ..Default::default()
    };
    of.spec.containers.push(container);
    of
}

/// A list that begins and is complete at once.
fn list(index: &Index, scope: Option<&SchedulerName>, pods: Vec<SeenPod>) -> Vec<RoomKey> {
    let number = index.begin_list();
    index.replace(scope, pods, number)
}

#[tokio::test]
async fn nothing_is_told_before_the_first_complete_list() {
    let index = index();
    let mut watch = index.feeds().watch(&scheduler());
    let number = index.begin_list();
    index.apply(seen("s-1", "u1", 5, None), true);
    let early = futures_util::poll!(watch.next());
    assert!(early.is_pending(), "{early:?}");
    let unsure = index.replace(None, vec![seen("s-2", "u2", 4, None)], number);
    assert_eq!(
        unsure,
        [(scheduler(), "s-1".into())],
        "created while the list was read"
    );
    let Some(RuntimeEvent::Listed(listed)) = watch.next().await else {
        panic!("the list comes first");
    };
    let names: Vec<_> = listed
        .iter()
        .map(|instance| instance.room.as_str())
        .collect();
    assert_eq!(names, ["s-1", "s-2"]);
    assert!(list(&index, None, vec![]).is_empty());
    assert_eq!(watch.next().await, Some(RuntimeEvent::Listed(vec![])));
}

#[tokio::test]
async fn a_list_of_one_scheduler_leaves_the_others_alone() {
    let index = index();
    list(&index, Some(&scheduler()), vec![seen("s-1", "u1", 5, None)]);
    let mut watch = index.feeds().watch(&scheduler());
    assert!(matches!(watch.next().await, Some(RuntimeEvent::Listed(list)) if list.len() == 1));
    let mut other = index.feeds().watch(&"t".into());
    assert!(futures_util::poll!(other.next()).is_pending());
    list(&index, Some(&"t".into()), vec![]);
    assert_eq!(other.next().await, Some(RuntimeEvent::Listed(vec![])));
    assert!(futures_util::poll!(watch.next()).is_pending());
    assert!(index.uid(&scheduler(), &"s-1".into()).is_some());
}

#[test]
fn ports_of_a_pod_that_was_observed_are_drawn_for_no_other_room() {
    let index = index();
    let of = with_one_port();
    list(&index, None, vec![seen("s-1", "u1", 5, Some("n1"))]);
    // There may be another node, which has no room yet. A third one would be too many.
    assert_eq!(*index.reserve_ports(&"s-2".into(), &of).unwrap(), [21_000]);
    let refused = index.reserve_ports(&"s-3".into(), &of);
    assert!(
        matches!(refused, Err(RuntimeError::Exhausted(_))),
        "{refused:?}"
    );
    // As after a restart: the room has them already.
    assert_eq!(*index.reserve_ports(&"s-1".into(), &of).unwrap(), [21_000]);
    index.release_ports(&"s-2".into());
    index.gone(&scheduler(), &"s-1".into(), "u1", None);
    assert_eq!(*index.reserve_ports(&"s-3".into(), &of).unwrap(), [21_000]);
}

#[test]
fn a_room_is_ready_when_its_address_is_known_and_keeps_it() {
    let index = index();
    let waits = index.apply(seen("s-1", "u1", 5, Some("n1")), false);
    assert_eq!(
        (waits.status, waits.address),
        (InstanceStatus::Pending, None)
    );
    let node: Arc<str> = "n1".into();
    assert_eq!(index.nodes_to_ask(), std::slice::from_ref(&node));
    assert!(index.nodes_to_ask().is_empty());
    index.learn_node(&node, Some("203.0.113.7".into()));
    index.learn_node(&node, Some("203.0.113.8".into()));
    let up = index.apply(seen("s-1", "u1", 6, Some("n1")), false);
    assert_eq!(up.status, InstanceStatus::Ready);
    assert_eq!(up.address.unwrap().host, "203.0.113.7");
    let new = index.apply(seen("s-2", "u2", 7, Some("n1")), false);
    assert_eq!(new.address.unwrap().host, "203.0.113.8");
}

#[tokio::test]
async fn old_states_are_ignored_and_namesakes_told_apart() {
    let index = index();
    list(&index, None, vec![]);
    let mut watch = index.feeds().watch(&scheduler());
    watch.next().await.unwrap();
    index.apply(seen("s-1", "u1", 9, None), false);
    let known = index.apply(seen("s-1", "u1", 8, Some("n1")), true);
    assert_eq!(known.resource_version, 9, "the answer to a call came late");
    index.apply(seen("s-1", "u2", 12, None), true);
    index.gone(&scheduler(), &"s-1".into(), "u1", None);
    assert_eq!(
        index.uid(&scheduler(), &"s-1".into()).as_deref(),
        Some("u2")
    );
    let mut told = Vec::new();
    while let std::task::Poll::Ready(Some(event)) = futures_util::poll!(watch.next()) {
        told.push(match event {
            RuntimeEvent::Changed(instance) => {
                format!("{} {}", instance.uid, instance.resource_version)
            }
            RuntimeEvent::Gone { uid, .. } => format!("{uid} gone"),
            RuntimeEvent::Listed(_) => panic!("nothing was lost"),
        });
    }
    assert_eq!(told, ["u1 9", "u1 gone", "u2 12"]);
}

#[tokio::test]
async fn namesakes_are_told_apart_whatever_their_versions_are() {
    let index = index();
    let uid = |index: &Index| index.uid(&scheduler(), &"s-1".into());
    // etcd was restored, and the list is not there yet.
    index.apply(seen("s-1", "u1", 900, None), false);
    assert_eq!(index.apply(seen("s-1", "u2", 5, None), true).uid, "u2");
    // The watch is behind.
    assert_eq!(index.apply(seen("s-1", "u1", 901, None), false).uid, "u2");
    index.gone(&scheduler(), &"s-1".into(), "u1", None);
    assert_eq!(uid(&index).as_deref(), Some("u2"));
    // It has caught up: what it tells next is newer.
    index.apply(seen("s-1", "u2", 6, None), false);
    assert_eq!(index.apply(seen("s-1", "u3", 4, None), false).uid, "u3");
    // An answer about one whose end was told.
    index.gone(&scheduler(), &"s-1".into(), "u2", None);
    index.apply(seen("s-1", "u2", 999, None), true);
    assert_eq!(uid(&index).as_deref(), Some("u3"));
}

#[test]
fn an_answer_after_the_end_brings_nothing_back() {
    let index = index();
    index.apply(seen("s-1", "u1", 5, Some("n1")), false);
    index.gone(&scheduler(), &"s-1".into(), "u1", None);
    index.apply(seen("s-1", "u1", 4, None), true);
    assert_eq!(index.uid(&scheduler(), &"s-1".into()), None);
    let state = index.state.lock();
    assert!(state.ports.is_empty() && state.on_node.is_empty());
}

#[test]
fn a_list_wins_over_newer_states() {
    let index = index();
    index.apply(seen("s-1", "u1", 900, Some("n1")), false);
    list(&index, None, vec![seen("s-1", "u1", 5, None)]);
    let after = index.apply(seen("s-1", "u1", 6, Some("n2")), false);
    assert_eq!(after.resource_version, 6, "etcd was restored");
}

#[tokio::test]
async fn protected_rooms_are_those_with_the_label_now() {
    let index = index();
    let marked = |room: &str, version: u64, protected: bool| SeenPod {
        protected,
        ..seen(room, room, version, None)
    };
    index.apply(marked("s-1", 1, true), true);
    index.apply(marked("s-2", 2, true), false);
    assert_eq!(index.protected(&scheduler()).len(), 2);
    index.apply(marked("s-1", 3, false), true);
    // An older state.
    index.apply(marked("s-1", 1, true), false);
    assert_eq!(index.protected(&scheduler()), HashSet::from(["s-2".into()]));
    index.gone(&scheduler(), &"s-2".into(), "s-2", None);
    assert!(index.protected(&scheduler()).is_empty());
    list(&index, None, vec![marked("s-3", 4, true)]);
    assert_eq!(index.protected(&scheduler()), HashSet::from(["s-3".into()]));
    list(&index, None, vec![]);
    assert!(index.protected(&scheduler()).is_empty());
    assert!(index.state.lock().protected.is_empty());
}

#[tokio::test]
async fn a_room_of_a_dead_node_has_ended_while_its_pod_is_there() {
    let index = index();
    let deleted = |version: u64| SeenPod {
        ending: Some(Ending {
            by: Timestamp::UNIX_EPOCH,
            is_ready: true,
        }),
        ..seen("s-1", "u1", version, Some("n1"))
    };
    let limits = Limits {
        silence: Duration::from_secs(240),
        lost: Duration::ZERO,
    };
    list(
        &index,
        None,
        vec![deleted(5), seen("s-2", "u2", 5, Some("n1"))],
    );
    let mut watch = index.feeds().watch(&scheduler());
    watch.next().await.unwrap();
    let node: Arc<str> = "n1".into();
    assert_eq!(index.nodes_to_suspect(), std::slice::from_ref(&node));
    assert!(index.nodes_to_suspect().is_empty(), "it is being asked");
    assert!(index.judge(&node, Some(Health::Ready), limits).is_empty());
    assert!(futures_util::poll!(watch.next()).is_pending());
    let forced = index.judge(&node, Some(Health::Gone), limits);
    assert_eq!(forced, [((scheduler(), "s-1".into()), "u1".to_owned())]);
    let told = watch.next().await;
    assert!(matches!(told, Some(RuntimeEvent::Gone { uid, .. }) if uid == "u1"));
    // Told once, and kept with its ports until the object is gone.
    index.apply(deleted(6), false);
    index.learn_node(&node, Some("203.0.113.7".into()));
    index.judge(&node, Some(Health::Gone), limits);
    let told = watch.next().await;
    assert!(matches!(told, Some(RuntimeEvent::Changed(i)) if i.room.as_str() == "s-2"));
    assert!(futures_util::poll!(watch.next()).is_pending());
    list(&index, None, vec![deleted(7)]);
    assert_eq!(watch.next().await, Some(RuntimeEvent::Listed(vec![])));
    index.gone(&scheduler(), &"s-1".into(), "u1", None);
    assert!(index.nodes_to_suspect().is_empty());
    let state = index.state.lock();
    assert!(state.ports.is_empty() && state.ending.is_empty());
}

#[tokio::test]
async fn a_node_is_judged_by_the_clock_of_the_cluster() {
    let index = index();
    // There it is long ago, or our clock is years ahead.
    let then: Timestamp = "2020-01-01T00:10:00Z".parse().unwrap();
    let second = k8s_openapi::jiff::SignedDuration::from_secs(1);
    let deleted = SeenPod {
        ending: Some(Ending {
            by: then - second,
            is_ready: false,
        }),
        ..seen("s-1", "u1", 5, Some("n1"))
    };
    index.heard(then);
    let in_time = SeenPod {
        ending: Some(Ending {
            by: then,
            is_ready: true,
        }),
        ..deleted.clone()
    };
    list(&index, None, vec![in_time]);
    assert!(index.nodes_to_suspect().is_empty());
    list(&index, None, vec![deleted]);
    let mut watch = index.feeds().watch(&scheduler());
    watch.next().await.unwrap();
    let limits = Limits {
        silence: Duration::from_secs(240),
        lost: Duration::ZERO,
    };
    let node: Arc<str> = "n1".into();
    index.nodes_to_suspect();
    let silent = |seconds: i64| {
        let since = then - second * i32::try_from(seconds).unwrap();
        Some(Health::NotReady { since })
    };
    index.judge(&node, silent(200), limits);
    assert!(futures_util::poll!(watch.next()).is_pending(), "not yet");
    index.judge(&node, silent(250), limits);
    let told = watch.next().await;
    assert!(matches!(told, Some(RuntimeEvent::Gone { uid, .. }) if uid == "u1"));
}

#[test]
fn a_machine_that_comes_back_under_its_old_name_is_asked_for_again() {
    let index = index();
    let node: Arc<str> = "n1".into();
    index.apply(seen("s-1", "u1", 5, Some("n1")), false);
    assert_eq!(index.nodes_to_ask(), std::slice::from_ref(&node));
    index.learn_node(&node, Some("203.0.113.7".into()));
    // What changes in between leaves the address alone.
    let up = index.apply(seen("s-1", "u1", 6, Some("n1")), false);
    assert_eq!(up.address.unwrap().host, "203.0.113.7");
    assert!(index.nodes_to_ask().is_empty());
    index.gone(&scheduler(), &"s-1".into(), "u1", None);
    let new = index.apply(seen("s-2", "u2", 9, Some("n1")), false);
    assert_eq!(new.address, None);
    assert_eq!(index.nodes_to_ask(), std::slice::from_ref(&node));
    index.learn_node(&node, Some("203.0.113.8".into()));
    let up = index.apply(seen("s-2", "u2", 10, Some("n1")), false);
    assert_eq!(up.address.unwrap().host, "203.0.113.8");
}

#[test]
fn a_machine_that_took_the_place_of_another_is_asked_for_again() {
    let index = index();
    let node: Arc<str> = "n1".into();
    let at = |last: u8, seen: SeenPod| SeenPod {
        host_ip: Some([10, 0, 0, last].into()),
        ..seen
    };
    index.apply(at(7, seen("s-1", "u1", 5, Some("n1"))), false);
    index.nodes_to_ask();
    index.learn_node(&node, Some("203.0.113.7".into()));
    let old = index.apply(at(7, seen("s-1", "u1", 6, Some("n1"))), false);
    assert_eq!(old.address.unwrap().host, "203.0.113.7");
    // The pod of the dead machine is still there. The new one is bound, and tells a little later where it is.
    index.apply(seen("s-2", "u2", 8, Some("n1")), false);
    let new = index.apply(at(8, seen("s-2", "u2", 9, Some("n1"))), false);
    assert_eq!(new.address, None);
    index.learn_node(&node, Some("203.0.113.8".into()));
    let new = index.apply(at(8, seen("s-2", "u2", 10, Some("n1"))), false);
    assert_eq!(new.address.unwrap().host, "203.0.113.8");
    let old = index.apply(at(7, seen("s-1", "u1", 11, Some("n1"))), false);
    assert_eq!(old.address.unwrap().host, "203.0.113.7");
}

#[test]
fn the_ports_of_a_pod_that_has_ended_are_drawn_again_while_it_is_there() {
    for phase in ["Succeeded", "Failed"] {
        let index = index();
        let of = with_one_port();
        index.apply(seen("s-1", "u1", 5, None), false);
        index.apply(in_phase(phase, "s-1", "u1", 6, None), false);
        assert_eq!(*index.reserve_ports(&"s-2".into(), &of).unwrap(), [21_000]);
    }
}

#[test]
fn an_answer_after_a_list_brings_nothing_back() {
    let index = index();
    let uid = |room: &str| index.uid(&scheduler(), &room.into());
    list(
        &index,
        None,
        vec![seen("s-1", "u1", 5, Some("n1")), seen("s-2", "u2", 6, None)],
    );
    // One is gone, a namesake is in the place of the other.
    list(&index, None, vec![seen("s-2", "u3", 8, None)]);
    index.apply(seen("s-1", "u1", 7, Some("n1")), true);
    index.apply(seen("s-2", "u2", 7, None), true);
    assert_eq!((uid("s-1"), uid("s-2")), (None, Some("u3".to_owned())));
    // The cluster was restored: it is there again, and answers about it count.
    list(&index, None, vec![seen("s-1", "u1", 3, None)]);
    index.apply(seen("s-1", "u1", 4, None), true);
    let state = index.state.lock();
    let known = &state.pods[&(scheduler(), "s-1".into())].seen;
    assert_eq!(known.instance.resource_version, 4);
}

#[test]
fn what_was_created_while_several_are_listed_is_looked_up() {
    let index = index();
    let first = index.begin_list();
    index.apply(seen("s-1", "u1", 5, None), true);
    list(&index, Some(&"t".into()), vec![]);
    let unsure = index.replace(Some(&scheduler()), vec![], first);
    assert_eq!(unsure, [(scheduler(), "s-1".into())]);
    assert!(index.uid(&scheduler(), &"s-1".into()).is_some());
    assert!(list(&index, Some(&scheduler()), vec![]).is_empty());
    assert_eq!(index.uid(&scheduler(), &"s-1".into()), None);
}

#[tokio::test]
async fn the_pods_of_a_scheduler_that_nobody_lists_are_forgotten() {
    let index = index();
    let name = scheduler();
    let watch = index.feeds().watch(&name);
    list(&index, None, vec![seen("s-1", "u1", 5, Some("n1"))]);
    assert_eq!(index.list_each(), HashSet::from([name.clone()]));
    assert!(index.uid(&name, &"s-1".into()).is_some(), "until its list");
    drop(watch);
    index.forget(&name);
    // The answer of a call that was under way.
    let late = index.apply(seen("s-2", "u2", 6, Some("n1")), true);
    assert_eq!(late.uid, "u2");
    {
        let state = index.state.lock();
        assert!(state.pods.is_empty() && state.ports.is_empty() && state.on_node.is_empty());
    }
    assert!(index.feeds().is_empty());
    let mut watch = index.feeds().watch(&name);
    assert!(futures_util::poll!(watch.next()).is_pending());
    list(&index, Some(&name), vec![]);
    assert_eq!(watch.next().await, Some(RuntimeEvent::Listed(vec![])));
}

#[test]
fn an_answer_about_a_machine_that_was_forgotten_meanwhile_is_not_kept() {
    let index = index();
    list(&index, None, vec![seen("s-1", "u1", 5, Some("n1"))]);
    let node: Arc<str> = "n1".into();
    assert_eq!(index.nodes_to_ask(), std::slice::from_ref(&node));
    index.gone(&scheduler(), &"s-1".into(), "u1", None);
    index.learn_node(&node, Some("203.0.113.1".into()));
    let room = index.apply(seen("s-2", "u2", 6, Some("n1")), false);
    assert_eq!(room.address, None);
    assert_eq!(index.nodes_to_ask(), [node]);
}

#[test]
fn ports_for_which_a_kubelet_refused_a_pod_are_drawn_last() {
    let index = index();
    let mut refused = in_phase("Failed", "s-1", "u1", 5, Some("n1"));
    refused.instance.trouble = Some(Trouble::PortsTaken);
    list(&index, None, vec![refused]);
    let mut of = with_one_port();
    of.port_range = Some(PortRange {
        start: 21_000,
        end: 21_001,
    });
    for number in 0..20 {
        let room = RoomId::from(format!("s-{number}-new").as_str());
        assert_eq!(*index.reserve_ports(&room, &of).unwrap(), [21_001]);
        index.release_ports(&room);
    }
}
