//! Answers compared literally: fields, their order, and what is null or omitted (contract 2.1, 2.3, 13). Clients decode
//! strictly, so an additional field is as wrong as a missing one.

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::fleet::{Fleet, arena};

/// The text with the values of these members replaced by `*`.
fn masked(text: &str, members: &[&str]) -> String {
    let mut text = text.to_owned();
    for member in members {
        let begin = format!("\"{member}\":\"");
        let mut at = 0;
        while let Some(found) = text[at..].find(&begin) {
            let from = at + found + begin.len();
            let to = from + text[from..].find('"').expect("a string ends");
            text.replace_range(from..to, "*");
            at = from;
        }
    }
    text
}

async fn shown(fleet: &Fleet, path: &str) -> String {
    let reply = fleet.get(path).await;
    assert_eq!(
        (reply.status, reply.kind.as_str()),
        (200, "application/json")
    );
    masked(&reply.text, &["createdAt", "id"])
}

#[actix_web::test]
async fn the_worked_example_is_answered_word_for_word() {
    let fleet = Fleet::start(true).await;
    // Contract 13.1: both spellings of names are accepted, version and state are ignored.
    let request = json!({
        "name": "arena-eu", "game": "arena", "maxSurge": "25%", "rooms_replicas": 2, "state": "in-sync",
        "portRange": {"start": 40000, "end": 41000},
        "spec": {"version": "v7.0.0", "terminationGracePeriod": "90s", "containers": [{
            "name": "gs", "image": "reg/gs:1", "imagePullPolicy": "IfNotPresent",
            "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"},
            "environment": [{"name": "A", "value": "1"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
            "ports": [{"name": "clientPort", "protocol": "udp", "port": 7777}],
        }]},
        "forwarders": [{"name": "mm", "enable": true, "type": "gRPC", "address": "mm:80"}],
    });
    let reply = fleet.send(Method::POST, "/schedulers", request).await;
    let expected = concat!(
        r#"{"scheduler":{"name":"arena-eu","game":"arena","state":"creating","portRange":{"start":40000,"end":41000},"#,
        r#""createdAt":"*","maxSurge":"25%","roomsReplicas":2,"#,
        r#""spec":{"version":"v1.0.0","terminationGracePeriod":"90s","containers":[{"name":"gs","image":"reg/gs:1","#,
        r#""imagePullPolicy":"IfNotPresent","command":[],"environment":[{"name":"A","value":"1"},"#,
        r#"{"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}}],"#,
        r#""requests":{"memory":"64Mi","cpu":"100m"},"limits":{"memory":"128Mi","cpu":"200m"},"#,
        r#""ports":[{"name":"clientPort","protocol":"udp","port":7777,"hostPort":0}]}],"#,
        r#""toleration":"","affinity":"","restartPolicy":"Never"},"#,
        r#""forwarders":[{"name":"mm","enable":true,"type":"gRPC","address":"mm:80","options":{"timeout":"1000","metadata":{}}}],"#,
        r#""annotations":{},"labels":{},"matchAllocation":{"maxMatches":1}}}"#
    );
    assert_eq!(masked(&reply.text, &["createdAt"]), expected);
    assert_eq!(shown(&fleet, "/schedulers/arena-eu").await, expected);
}

/// A scheduler with every field set.
fn full() -> Value {
    let mut full = arena(3);
    full["autoscaling"] = json!({"enabled": true, "min": 1, "max": -1, "cooldown": 60, "policy": {
        "type": "roomOccupancy",
        "parameters": {"roomOccupancy": {"readyTarget": 0.3}, "fixedBuffer": {"amount": 2}},
    }});
    full["annotations"] = json!({"b/c": "2", "a": "1"});
    full["labels"] = json!({"team": "x"});
    full["matchAllocation"] = json!({"maxMatches": 3});
    full["forwarders"] = json!([{"name": "mm", "type": "gRPC", "address": "mm:80",
        "options": {"timeout": "1500", "metadata": {"z": 1.50, "a": [1, null, true]}}}]);
    full["portRange"] = Value::Null;
    full["spec"]["containers"][0]["ports"][0]["hostPortRange"] = json!({"start": 1, "end": 2});
    full["spec"]["containers"][0]["environment"] = json!([
        {"name": "BOTH", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "f"}}},
        {"name": "EMPTY", "value": ""},
        {"name": "SECRET", "valueFrom": {"fieldRef": {"fieldPath": "f"}, "secretKeyRef": {"name": "n", "key": "k"}}},
        {"name": "NONE"},
    ]);
    full
}

#[actix_web::test]
async fn every_answer_has_the_contracts_fields_in_their_order() {
    let fleet = Fleet::start(true).await;
    fleet.send(Method::POST, "/schedulers", full()).await.ok();
    let scheduler = shown(&fleet, "/schedulers/arena").await;
    for part in [
        r#""state":"creating","portRange":null,"createdAt":"*","maxSurge":"10%","roomsReplicas":3,"spec":{"version":"v1.0.0","terminationGracePeriod":"90.500s","#,
        r#""environment":[{"name":"BOTH","value":"x"},{"name":"EMPTY"},{"name":"SECRET","valueFrom":{"secretKeyRef":{"name":"n","key":"k"}}},{"name":"NONE"}]"#,
        r#""ports":[{"name":"clientPort","protocol":"udp","port":7777,"hostPort":0,"hostPortRange":{"start":1,"end":2}}]"#,
        // A threshold that was left out is shown with its default; ratios are printed as shortest decimals.
        r#""autoscaling":{"enabled":true,"min":1,"max":-1,"policy":{"type":"roomOccupancy","parameters":{"roomOccupancy":{"readyTarget":0.3,"downThreshold":0.99},"fixedBuffer":{"amount":2}}},"cooldown":60}"#,
        r#""forwarders":[{"name":"mm","enable":false,"type":"gRPC","address":"mm:80","options":{"timeout":"1500","metadata":{"a":[1,null,true],"z":1.5}}}]"#,
        r#""annotations":{"a":"1","b/c":"2"},"labels":{"team":"x"},"matchAllocation":{"maxMatches":3}}}"#,
    ] {
        assert!(scheduler.contains(part), "no {part} in {scheduler}");
    }
    let creation = "/schedulers/arena/operations?stage=pending";
    let id = fleet.get(creation).await.ok()["operations"][0]["id"].clone();
    let one = format!("/schedulers/arena/operations/{}", id.as_str().unwrap());
    for (path, expected) in [
        (
            "/schedulers?name=arena",
            r#"{"schedulers":[{"name":"arena","game":"chess","state":"creating","version":"v1.0.0","portRange":null,"createdAt":"*","maxSurge":"10%","roomsReplicas":3,"matchAllocation":{"maxMatches":3}}]}"#,
        ),
        (
            "/schedulers/info",
            r#"{"schedulers":[{"name":"arena","game":"chess","state":"creating","roomsReplicas":3,"roomsReady":0,"roomsOccupied":0,"roomsPending":0,"roomsTerminating":0,"autoscaling":{"enabled":true,"min":1,"max":-1,"cooldown":60},"matchAllocation":{"maxMatches":3}}]}"#,
        ),
        (
            "/schedulers/arena/versions",
            r#"{"versions":[{"version":"v1.0.0","isActive":true,"createdAt":"*"}]}"#,
        ),
        (
            creation,
            r#"{"page":1,"pageSize":1,"total":1,"operations":[{"id":"*","status":"pending","definitionName":"create_scheduler","schedulerName":"arena","createdAt":"*"}]}"#,
        ),
        (
            "/schedulers/nobody/operations?stage=active",
            r#"{"page":1,"pageSize":0,"total":0,"operations":[]}"#,
        ),
    ] {
        assert_eq!(shown(&fleet, path).await, expected, "{path}");
    }
    let operation = shown(&fleet, &one).await;
    let begin = r#"{"operation":{"id":"*","status":"pending","definitionName":"create_scheduler","schedulerName":"arena","createdAt":"*","input":{"scheduler":{"#;
    let end = r#"}},"executionHistory":[{"createdAt":"*","event":"Created"}]}}"#;
    assert!(
        operation.starts_with(begin) && operation.ends_with(end),
        "{operation}"
    );
}

#[actix_web::test]
async fn a_scheduler_without_autoscaling_has_none_here_and_null_there() {
    let fleet = Fleet::start(true).await;
    fleet.create(0).await;
    let scheduler = fleet.get("/schedulers/arena").await.ok()["scheduler"].clone();
    assert!(scheduler.get("autoscaling").is_none(), "{scheduler}");
    let info = fleet.get("/schedulers/info").await.ok()["schedulers"][0].clone();
    assert_eq!(info.get("autoscaling"), Some(&Value::Null));
    assert!(info.get("matchAllocation").is_none(), "{info}");
}

#[actix_web::test]
async fn an_operation_shows_what_was_ordered() {
    let fleet = Fleet::start(true).await;
    fleet.create(3).await;
    let (post, put, delete) = (Method::POST, Method::PUT, Method::DELETE);
    for (method, path, body, kind, input) in [
        (
            &post,
            "/add-rooms",
            json!({"amount": "2"}),
            "add_rooms",
            json!({"amount": 2}),
        ),
        (
            &post,
            "/remove-rooms",
            json!({"amount": 1.0}),
            "remove_rooms",
            json!({"amount": 1, "rooms_ids": null, "reason": "requested_by_user"}),
        ),
        // Whether the version or the scheduler exists is not checked (contract 15.13).
        (
            &put,
            "",
            Value::Null,
            "switch_active_version",
            json!({"newActiveVersion": ""}),
        ),
        (
            &delete,
            "",
            json!({"schedulerName": "other"}),
            "delete_scheduler",
            json!({}),
        ),
    ] {
        let path = format!("/schedulers/arena{path}");
        let ordered = fleet.send(method.clone(), &path, body).await.ok();
        let id = ordered["operationId"].as_str().expect("an id");
        let operation = fleet
            .get(&format!("/schedulers/arena/operations/{id}"))
            .await;
        let operation = operation.ok()["operation"].clone();
        assert_eq!(
            (&operation["definitionName"], &operation["input"]),
            (&json!(kind), &input)
        );
        assert!(operation.get("lease").is_none(), "{operation}");
    }
}

#[actix_web::test]
async fn an_answer_is_a_valid_request() {
    let fleet = Fleet::start(true).await;
    fleet.send(Method::POST, "/schedulers", full()).await.ok();
    let answer = fleet.get("/schedulers/arena").await.ok()["scheduler"].clone();
    let mut again = answer.clone();
    again["name"] = "copy".into();
    let mut copy = fleet.send(Method::POST, "/schedulers", again).await.ok()["scheduler"].clone();
    for own in ["name", "createdAt"] {
        copy[own] = answer[own].clone();
    }
    assert_eq!(copy, answer);
}
