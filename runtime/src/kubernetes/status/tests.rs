use super::*;
use InstanceStatus as S;
use serde_json::{Value, json};

fn pod(policy: &str, status: Value) -> Pod {
    let two = json!([{"name": "game"}, {"name": "agent"}]);
    serde_json::from_value(json!({
        "metadata": {},
        "spec": {"restartPolicy": policy, "containers": two},
        "status": status,
    }))
    .unwrap()
}

fn container(name: &str, state: Value) -> Value {
    let ready = state.get("running").is_some();
    json!({"name": name, "image": "", "imageID": "", "ready": ready, "restartCount": 2, "state": state})
}

fn ended(code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason}})
}

fn running() -> Value {
    json!({"running": {}})
}

/// A running pod of two containers, with the conditions that follow.
fn two(policy: &str, game: Value, agent: Value) -> Observation {
    let containers = json!([container("game", game), container("agent", agent)]);
    let up = containers
        .as_array()
        .unwrap()
        .iter()
        .all(|c| c["ready"] == true);
    let readiness = |kind: &str| match up {
        true => json!({"type": kind, "status": "True"}),
        false => {
            json!({"type": kind, "status": "False", "reason": "ContainersNotReady", "message": "not"})
        }
    };
    let conditions = json!([readiness("Ready"), readiness("ContainersReady")]);
    let status =
        json!({"phase": "Running", "containerStatuses": containers, "conditions": conditions});
    observe(&pod(policy, status))
}

#[test]
fn the_first_rule_of_the_contract_that_applies_counts() {
    let bad = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]);
    let lost = json!([{"type": "Ready", "status": "Unknown"}]);
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
    for (status, expected, text) in [
        (
            json!({"phase": "Succeeded"}),
            S::Terminating,
            "PodSucceeded",
        ),
        (json!({"phase": "Failed"}), S::Error, "PodFailed"),
        (evicted, S::Error, "PodFailed: Evicted: low on memory"),
        (json!({"phase": "Unknown"}), S::Error, "PodUnknown"),
        (
            json!({"phase": "Pending", "conditions": bad}),
            S::Pending,
            "Unschedulable: 0/3 nodes",
        ),
        (json!({"phase": "Pending"}), S::Pending, ""),
        (json!({}), S::Pending, ""),
        (json!({"phase": "Running"}), S::Ready, ""),
        (
            json!({"phase": "Running", "conditions": lost}),
            S::Ready,
            "",
        ),
    ] {
        let seen = observe(&pod("Never", status.clone()));
        assert_eq!(
            (seen.status, seen.description.as_str()),
            (expected, text),
            "{status}"
        );
        assert_eq!(seen.restarting, None);
    }
    let mut deleted = pod("Never", json!({"phase": "Failed"}));
    deleted.metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-11-27T23:31:01Z")).unwrap());
    assert_eq!(observe(&deleted).status, S::Terminating);
}

#[test]
fn failures_of_images_and_containers_are_errors_at_once() {
    for reason in FAILURES {
        let waiting = json!({"waiting": {"reason": reason, "message": "why"}});
        let seen = two("Never", running(), waiting);
        assert_eq!(
            (seen.status, seen.description),
            (S::Error, format!("{reason}: why"))
        );
        assert_eq!(seen.restarting.is_some(), *reason == CRASH_LOOP);
    }
    let starts = json!({"waiting": {"reason": "ContainerCreating"}});
    assert_eq!(two("Never", starts.clone(), starts).status, S::Pending);
}

#[test]
fn a_completed_container_leaves_its_room_to_the_others() {
    assert_eq!(two("Never", running(), running()).status, S::Ready);
    let done = || ended(0, "Completed");
    assert_eq!(two("Never", done(), running()).status, S::Ready);
    assert_eq!(two("OnFailure", running(), done()).status, S::Ready);
    let starts = json!({"waiting": {"reason": "ContainerCreating"}});
    assert_eq!(two("Never", done(), starts).status, S::Pending);
    let over = two("Never", done(), done());
    assert_eq!(
        (over.status, over.description.as_str()),
        (S::Terminating, "Completed")
    );
}

#[test]
fn a_container_that_fails_ends_the_room_or_is_restarted_in_place() {
    let fails = || ended(3, "Error");
    let never = two("Never", running(), fails());
    assert_eq!(
        (never.status, never.description.as_str()),
        (S::Error, "Error")
    );
    assert_eq!(never.restarting, None);
    let restart = Restart {
        count: 5,
        code: Some(3),
        signal: None,
    };
    for policy in ["OnFailure", "Always"] {
        let seen = two(policy, running(), fails());
        assert_eq!(
            (seen.status, seen.restarting),
            (S::Error, Some(restart)),
            "{policy}"
        );
    }
    let again = two("Always", running(), ended(0, "Completed"));
    assert_eq!(again.restarting.map(|restart| restart.code), Some(Some(0)));
    let killed = two("Always", running(), ended(137, "OOMKilled"));
    let restart = killed.restarting.unwrap();
    assert_eq!((restart.code, restart.signal), (None, Some(9)));
    assert_eq!(killed.description, "OOMKilled");
}

#[test]
fn the_end_of_a_deleted_pod_is_told() {
    let containers = json!([
        container("game", ended(0, "Completed")),
        container("agent", ended(139, "Error"))
    ]);
    let gone = pod(
        "Never",
        json!({"phase": "Failed", "containerStatuses": containers}),
    );
    let exit = exit(&gone).unwrap();
    assert_eq!((exit.code, exit.signal), (None, Some(11)));
    assert_eq!(exit.reason, "container agent was ended by signal 11");
    assert_eq!(
        observe(&gone).description,
        "PodFailed: container agent was ended by signal 11"
    );
    assert_eq!(
        super::exit(&pod("Never", json!({"phase": "Pending"}))),
        None
    );
}

#[test]
fn a_pod_that_was_deleted_while_it_ran_was_ended_by_others() {
    // Deleted at 12:00:30, with a minute to end.
    let gone = |containers: Value| {
        let mut gone = pod("Never", json!({"containerStatuses": containers}));
        gone.metadata.deletion_grace_period_seconds = Some(60);
        gone.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T12:01:30Z")).unwrap());
        super::exit(&gone).unwrap()
    };
    let ended_at = |time: &str| {
        let end = json!({"exitCode": 143, "reason": "Error", "finishedAt": time});
        json!([container("game", json!({"terminated": end}))])
    };
    let exit = gone(ended_at("2026-01-01T12:00:31Z"));
    assert_eq!((exit.signal, exit.by_others), (Some(15), true));
    // The clock of its machine may be a little behind.
    assert!(gone(ended_at("2026-01-01T12:00:29Z")).by_others);
    assert!(!gone(ended_at("2026-01-01T12:00:27Z")).by_others);
    // What had done its work before says nothing about the room.
    let done = json!({"exitCode": 0, "reason": "Completed", "finishedAt": "2026-01-01T12:00:00Z"});
    let done = container("setup", json!({"terminated": done}));
    let mut both = ended_at("2026-01-01T12:00:31Z");
    both.as_array_mut().unwrap().push(done.clone());
    assert!(gone(both).by_others);
    assert!(!gone(json!([done])).by_others, "it was over");
    let exit = gone(json!([]));
    assert_eq!((exit.code, exit.by_others), (None, true));
    assert_eq!(exit.reason, "its pod was deleted");
}
