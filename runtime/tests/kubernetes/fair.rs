//! One budget of calls for all schedulers: none of them waits for another's queue.

use crate::faults::behind_proxy_with;
use futures_util::future::join_all;
use maestro_core::domain::{PortRange, RemovalReason, RoomId};
use maestro_core::ports::{Protection, Runtime};
use maestro_testkit::contract::runtime::{RUNS, Stage, scheduler};
use maestro_testkit::control_plane::{ApiCall, ApiProxy};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const QPS: u32 = 10;
/// Of the crowd; at the rate they take 100 s.
const CROWD: usize = 1000;
/// Calls that were admitted before, and have not arrived: as many as may be in flight.
const AHEAD_MAX: usize = 2 * QPS as usize;

fn is_of_crowd(call: &ApiCall) -> bool {
    call.path.contains("/namespaces/fair-crowd/pods")
}

/// Until the crowd's calls arrive one by one, and all others of them wait.
async fn until_crowded(proxy: &ApiProxy) {
    let count = || {
        proxy
            .calls()
            .iter()
            .filter(|call| is_of_crowd(call))
            .count()
    };
    let enough = count() + 2 * QPS as usize;
    while count() < enough {
        sleep(Duration::from_millis(20)).await;
    }
}

/// How many calls of the crowd arrived in between.
async fn ahead<T>(proxy: &ApiProxy, call: impl Future<Output = T>, path: &str) -> (usize, T) {
    let before = proxy.calls().len();
    let answer = call.await;
    let since = proxy.calls().split_off(before);
    let mine = since.iter().position(|call| call.path.contains(path));
    let mine = mine.expect("it was asked");
    let crowd = since[..mine].iter().filter(|call| is_of_crowd(call));
    (crowd.count(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_of_one_scheduler_do_not_hold_up_those_of_another() {
    let slow = behind_proxy_with(|settings| (settings.qps, settings.burst) = (QPS, QPS));
    let Some((site, proxy)) = slow.await else {
        return;
    };
    let lonely = Stage::set(&site, scheduler("fair-lonely", RUNS)).await;
    let one = lonely.create("fair-lonely-one").await.unwrap();
    let mut many = scheduler("fair-crowd", RUNS);
    // Its pods need no node.
    many.spec.affinity = "fair-nowhere".into();
    many.port_range = Some(PortRange {
        start: 40_000,
        end: 44_999,
    });
    let crowd = Stage::set(&site, many).await;
    for number in 0..CROWD {
        let order = crowd.order(&format!("fair-crowd-{number}")).await.unwrap();
        let runtime = crowd.runtime.clone();
        tokio::spawn(async move { runtime.create(&order).await });
    }
    until_crowded(&proxy).await;
    // It is urgent, and goes before all creations.
    let ended = lonely.terminate("fair-lonely-one", Some(&one.uid));
    let (calls, ended) = ahead(&proxy, ended, "/fair-lonely-one").await;
    ended.unwrap();
    assert!(
        calls <= AHEAD_MAX,
        "{calls} creations went before the deletion"
    );
    // It is as urgent as they are, and has its turn.
    let two = lonely.create("fair-lonely-two");
    let (calls, two) = ahead(&proxy, two, "/namespaces/fair-lonely/pods").await;
    let two = two.unwrap();
    assert!(
        calls <= AHEAD_MAX,
        "{calls} creations went before a creation"
    );

    for number in 0..CROWD {
        let (runtime, name) = (crowd.runtime.clone(), crowd.scheduler.name.clone());
        let room = RoomId::from(format!("fair-nobody-{number}").as_str());
        tokio::spawn(async move {
            let (grace, reason) = (Duration::ZERO, RemovalReason::ScaleDown);
            runtime.terminate(&name, &room, None, grace, reason).await
        });
    }
    until_crowded(&proxy).await;
    let ended = lonely.terminate("fair-lonely-two", Some(&two.uid));
    let (calls, ended) = ahead(&proxy, ended, "/fair-lonely-two").await;
    ended.unwrap();
    assert!(
        calls <= AHEAD_MAX,
        "{calls} deletions went before the deletion"
    );
    let made = proxy.calls().into_iter().filter(is_of_crowd).count();
    assert!(
        made < CROWD,
        "the crowd has not waited: {made} calls of it were made"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_written_after_everything_else_and_not_all_of_a_crowd() {
    const QPS: u32 = 100;
    const ENDED: usize = 600;
    let slow = behind_proxy_with(|settings| (settings.qps, settings.burst) = (QPS, 1));
    let Some((site, proxy)) = slow.await else {
        return;
    };
    let stage = Stage::set(&site, scheduler("fair-events", RUNS)).await;
    let ended = (0..ENDED).map(|number| {
        let (runtime, name) = (stage.runtime.clone(), stage.scheduler.name.clone());
        let room = RoomId::from(format!("fair-events-{number}").as_str());
        tokio::spawn(async move {
            let (uid, grace) = (Some("of-nobody"), Duration::ZERO);
            let reason = RemovalReason::ScaleDown;
            runtime.terminate(&name, &room, uid, grace, reason).await
        })
    });
    for ended in join_all(ended).await {
        assert!(ended.unwrap().is_err(), "there are no such rooms");
    }
    let is_event = |call: &&ApiCall| call.path.ends_with("/namespaces/fair-events/events");
    let is_deletion = |call: &ApiCall| call.method == "DELETE";
    let calls = proxy.calls();
    let last = calls.iter().rposition(is_deletion).unwrap();
    // A few were sent before there was anything else to do.
    let early = calls[..last].iter().filter(is_event).count();
    assert!(early <= 20, "{early} events went before deletions");
    while site.runtime.calls().waiting > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    let written = proxy.calls().iter().filter(is_event).count();
    assert!((1..ENDED / 2).contains(&written), "{written} events");
}

/// The owner of each scheduler has its budget looked at again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_at_the_budgets_of_many_schedulers_leave_calls_for_creations() {
    let slow = behind_proxy_with(|settings| (settings.qps, settings.burst) = (QPS, QPS));
    let Some((site, _proxy)) = slow.await else {
        return;
    };
    let order = Protection {
        all: true,
        ..Protection::default()
    };
    let owners = (0..10 * QPS).map(|number| {
        let name = scheduler(&format!("fair-looks-{number}"), RUNS)
            .name
            .clone();
        let (runtime, order) = (site.runtime.clone(), order.clone());
        tokio::spawn(async move {
            loop {
                let _ = runtime.protect(&name, &order).await;
                sleep(Duration::from_millis(20)).await;
            }
        })
    });
    let owners: Vec<_> = owners.collect();
    let created = async {
        let stage = Stage::set(&site, scheduler("fair-looked-at", RUNS)).await;
        stage.create("fair-looked-at-one").await.unwrap();
    };
    let created = timeout(Duration::from_secs(50), created).await;
    for owner in owners {
        owner.abort();
    }
    assert!(created.is_ok(), "nobody else gets a call");
}
