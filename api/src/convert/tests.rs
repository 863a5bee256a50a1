//! Messages converted to the domain and back keep the contract's form.

use maestro_core::domain::*;
use maestro_core::ports::RoomCounts;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

use super::*;
use crate::codec::{decode, encode, messages};

fn create(body: &Value) -> Scheduler {
    let request = decode::<messages::CreateSchedulerRequest>(body.to_string().as_bytes());
    to_domain(request.unwrap()).unwrap()
}

fn shown(wanted: &Scheduler) -> Value {
    serde_json::from_str(&encode(&scheduler(wanted))).unwrap()
}

fn with_environment(variable: Value) -> Scheduler {
    create(&json!({"spec": {"containers": [{"environment": [variable]}]}}))
}

#[test]
fn what_is_left_out_has_the_contracts_defaults() {
    let scheduler = create(&json!({
        "spec": {"version": "v9.0.0", "containers": [{}]},
        "autoscaling": {"policy": {"type": "roomOccupancy", "parameters": {"roomOccupancy": {"readyTarget": 0.3}}}},
        "forwarders": [{"name": "mm"}],
    }));
    assert_eq!(
        scheduler.match_allocation,
        Some(MatchAllocation { max_matches: 1 })
    );
    assert_eq!(scheduler.spec.version, SchedulerVersion::initial());
    assert_eq!(scheduler.spec.restart_policy, RestartPolicy::Unset);
    assert_eq!(
        (&scheduler.annotations, scheduler.port_range),
        (&None, None)
    );
    let occupancy = scheduler
        .autoscaling
        .as_ref()
        .unwrap()
        .policy
        .parameters
        .room_occupancy;
    let expected = RoomOccupancy {
        ready_target: 0.3,
        down_threshold: 0.99,
    };
    assert_eq!(occupancy, Some(expected));
    let options = scheduler.forwarders()[0].options.as_ref().unwrap();
    assert_eq!((options.timeout, options.metadata.len()), (1000, 0));
    let answer = shown(&scheduler);
    assert_eq!(
        answer["autoscaling"]["policy"]["parameters"]["roomOccupancy"],
        json!({"readyTarget": 0.3, "downThreshold": 0.99})
    );
    assert_eq!(
        answer["forwarders"][0]["options"],
        json!({"timeout": "1000", "metadata": {}})
    );
    assert_eq!(
        (&answer["annotations"], &answer["portRange"]),
        (&json!({}), &Value::Null)
    );
}

#[test]
fn options_without_a_timeout_have_none() {
    let scheduler = create(&json!({"forwarders": [{"options": {}}], "labels": {}}));
    assert_eq!(
        scheduler.forwarders()[0].options.as_ref().unwrap().timeout,
        0
    );
    assert_eq!(scheduler.labels, Some(std::collections::BTreeMap::new()));
}

#[test]
fn a_value_wins_over_a_secret_and_a_secret_over_a_field() {
    let field = json!({"fieldPath": "status.hostIP"});
    let secret = json!({"name": "s", "key": "k"});
    let both = json!({"fieldRef": field, "secretKeyRef": secret});
    let cases = [
        (
            json!({"name": "A", "value": "1", "valueFrom": both}),
            json!({"name": "A", "value": "1"}),
        ),
        (
            json!({"name": "A", "value": "", "valueFrom": both}),
            json!({"name": "A"}),
        ),
        (
            json!({"name": "A", "valueFrom": both}),
            json!({"name": "A", "valueFrom": {"secretKeyRef": secret}}),
        ),
        (
            json!({"name": "A", "valueFrom": {"fieldRef": field}}),
            json!({"name": "A", "valueFrom": {"fieldRef": field}}),
        ),
        (json!({"name": "A", "valueFrom": {}}), json!({"name": "A"})),
    ];
    for (sent, expected) in cases {
        let answer = shown(&with_environment(sent.clone()));
        assert_eq!(
            answer["spec"]["containers"][0]["environment"][0], expected,
            "{sent}"
        );
    }
}

#[test]
fn a_restart_policy_is_shown_as_what_it_means() {
    for (sent, stored, answered) in [
        ("Always", "Always", "Always"),
        ("OnFailure", "OnFailure", "OnFailure"),
        ("Never", "", "Never"),
        ("Sometimes", "", "Never"),
        ("", "", "Never"),
    ] {
        let scheduler = create(&json!({"spec": {"restartPolicy": sent}}));
        assert_eq!(scheduler.spec.restart_policy, stored.into());
        assert_eq!(shown(&scheduler)["spec"]["restartPolicy"], answered);
    }
}

#[test]
fn the_input_of_an_order_tells_a_whole_scheduler_from_a_patched_one() {
    let whole = create(&json!({"name": "arena"}));
    let mut patched = whole.clone();
    patched.created_at = "2026-01-02T03:04:05Z".parse().unwrap();
    let input = |definition| {
        let mut order = (*record(None)).clone();
        order.definition = definition;
        let shown: Value = serde_json::from_str(&encode(&operation(&order))).unwrap();
        let scheduler = &shown["input"]["scheduler"];
        (
            scheduler["CreatedAt"].clone(),
            scheduler["Spec"]["RestartPolicy"].clone(),
        )
    };
    let never = (json!("0001-01-01T00:00:00Z"), json!("Never"));
    let scheduler = Arc::new(patched.clone());
    assert_eq!(input(Definition::CreateScheduler { scheduler }), never);
    let scheduler = Arc::new(whole);
    assert_eq!(
        input(Definition::CreateNewSchedulerVersion { scheduler }),
        never
    );
    let scheduler = Arc::new(patched);
    let stored = (json!("2026-01-02T03:04:05Z"), json!(""));
    assert_eq!(
        input(Definition::CreateNewSchedulerVersion { scheduler }),
        stored
    );
}

#[test]
fn nul_characters_are_dropped_from_the_game_alone() {
    let scheduler = create(&json!({
        "name": "a\0b", "game": "c\0d", "labels": {"k\0": "\0v"},
        "spec": {"containers": [{"imagePullPolicy": "Al\0ways"}]},
    }));
    assert_eq!(scheduler.game, "cd");
    // Not the name `ab`, so validation rejects it.
    assert_eq!(scheduler.name.as_str(), "a\0b");
    assert_eq!(scheduler.labels.unwrap()["k\0"], "\0v");
    assert_eq!(scheduler.spec.containers[0].image_pull_policy, "Al\0ways");
}

#[test]
fn metadata_without_a_bottom_is_refused() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let request = |levels| {
        let body = format!(
            r#"{{"forwarders":[{{"name":"mm","options":{{"metadata":{{"a":{}}}}}}}]}}"#,
            nested(levels)
        );
        to_domain(decode::<messages::CreateSchedulerRequest>(body.as_bytes()).unwrap())
    };
    assert!(request(98).is_ok());
    for levels in [100, 1000] {
        assert_eq!(request(levels).unwrap_err(), TooDeep("mm".into()));
    }
}

#[test]
fn documents_of_others_are_shown_as_they_are() {
    let mut odd = create(&json!({"forwarders": [{}]}));
    odd.spec.version = SchedulerVersion::default();
    odd.forwarders.as_mut().unwrap()[0].options = None;
    odd.match_allocation = None;
    odd.state = "frozen".into();
    let answer = shown(&odd);
    assert_eq!(
        (&answer["spec"], &answer["state"]),
        (&Value::Null, &json!("frozen"))
    );
    assert_eq!(answer["forwarders"][0].get("options"), None);
    assert_eq!(answer.get("matchAllocation"), None);
}

#[test]
fn the_fleet_listing_tells_counts_and_what_is_not_usual() {
    let mut scheduler = create(&json!({"name": "arena", "autoscaling": {"cooldown": 60}}));
    let mut counts = RoomCounts::default();
    counts.0[RoomStatus::Ready as usize] = 3;
    counts.0[RoomStatus::Terminating as usize] = u64::MAX;
    let one = info(&scheduler, counts);
    assert_eq!((one.rooms_ready, one.rooms_terminating), (3, i32::MAX));
    assert_eq!(
        (one.autoscaling.unwrap().cooldown, one.match_allocation),
        (60, None)
    );
    scheduler.match_allocation = Some(MatchAllocation { max_matches: 3 });
    let matches = info(&scheduler, counts).match_allocation.unwrap();
    assert_eq!(matches.max_matches, 3);
}

fn record(lease: Option<&str>) -> Arc<OperationRecord> {
    let at = "2026-01-02T03:04:05.5Z".parse().unwrap();
    Arc::new(OperationRecord {
        id: OperationId(uuid::Uuid::nil()),
        scheduler: "arena".into(),
        definition: Definition::HealthController { took_action: None },
        status: OperationStatus::InProgress,
        created_at: at,
        status_at: at,
        history: Vec::new(),
        priority: false,
        lease_until: lease.map(|until| until.parse().unwrap()),
        resume: ResumeState::default(),
    })
}

#[test]
fn leases_are_shown_all_or_none_and_only_of_active_operations() {
    let leased = [
        record(Some("2026-01-02T03:04:10.9Z")),
        record(Some("2026-01-02T03:04:11Z")),
    ];
    let ttl = |items: Vec<messages::ListOperationItem>| {
        items
            .into_iter()
            .map(|i| i.lease.map(|l| l.ttl))
            .collect::<Vec<_>>()
    };
    let both = [
        Some("2026-01-02T03:04:10Z".to_owned()),
        Some("2026-01-02T03:04:11Z".to_owned()),
    ];
    assert_eq!(ttl(operation_items(&leased, true)), both);
    assert_eq!(ttl(operation_items(&leased, false)), [None, None]);
    let mixed = [leased[0].clone(), record(None)];
    assert_eq!(ttl(operation_items(&mixed, true)), [None, None]);
    assert!(operation(&leased[0]).lease.is_none());
    let shown: Value = serde_json::from_str(&encode(&operation(&leased[0]))).unwrap();
    assert_eq!(shown["input"], json!({}));
}

proptest! {
    #[test]
    fn shares_come_back_as_they_were_sent(share in any::<f32>().prop_filter("a share", |s| s.is_finite() && *s != 0.0)) {
        let policy = messages::AutoscalingPolicy {
            r#type: "roomOccupancy".into(),
            parameters: Some(messages::PolicyParameters {
                room_occupancy: Some(messages::RoomOccupancy {
                    ready_target: share,
                    down_threshold: Some(share),
                }),
                fixed_buffer: None,
            }),
        };
        let autoscaling = messages::Autoscaling { policy: Some(policy), ..Default::default() };
        let stored = scaling::to_domain(autoscaling.clone());
        let occupancy = stored.policy.parameters.room_occupancy.unwrap();
        prop_assert_eq!(occupancy.ready_target.to_string(), share.to_string());
        prop_assert_eq!(scaling::to_message(&stored), autoscaling);
    }
}
