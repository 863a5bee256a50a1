//! Edits through the API: which fields a patch changes, and the order of the checks that reject an edit (contract 2.4,
//! 15.12, 15.13).

use actix_web::http::Method;
use serde_json::{Value, json};

use crate::fleet::{Fleet, arena};

/// Creates a scheduler of this name with every field that a patch can change.
async fn create(fleet: &Fleet, name: &str) {
    let mut wanted = arena(1);
    wanted["name"] = name.into();
    wanted["annotations"] = json!({"a": "1"});
    wanted["labels"] = json!({"l": "1"});
    wanted["matchAllocation"] = json!({"maxMatches": 3});
    wanted["forwarders"] =
        json!([{"name": "mm", "enable": true, "type": "gRPC", "address": "mm:80"}]);
    wanted["autoscaling"] = json!({"enabled": true, "min": 1, "max": 10, "cooldown": 60,
        "policy": {"type": "roomOccupancy", "parameters": {"roomOccupancy": {"readyTarget": 0.5}}}});
    wanted["spec"]["containers"][0]["command"] = json!(["run"]);
    wanted["spec"]["containers"][0]["environment"] = json!([{"name": "A", "value": "1"}]);
    fleet.send(Method::POST, "/schedulers", wanted).await.ok();
}

/// The document that results from a patch, as its operation shows it.
async fn patched(fleet: &Fleet, name: &str, patch: &Value) -> Value {
    let path = format!("/schedulers/{name}");
    let ordered = fleet.send(Method::PATCH, &path, patch.clone()).await.ok();
    let id = ordered["operationId"].as_str().expect("an id");
    let operation = fleet.get(&format!("{path}/operations/{id}")).await.ok();
    operation["operation"]["input"]["scheduler"].clone()
}

/// Members that differ between two documents, by JSON pointer, with the new value.
fn differences(path: &str, before: &Value, after: &Value, found: &mut Vec<(String, Value)>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) if old.keys().eq(new.keys()) => {
            for (key, value) in new {
                differences(&format!("{path}/{key}"), &old[key], value, found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                differences(&format!("{path}/{index}"), old, new, found);
            }
        }
        (old, new) if old != new => found.push((path.to_owned(), new.clone())),
        _ => {}
    }
}

#[actix_web::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let fleet = Fleet::start(true).await;
    let game = |patch: Value| json!({"spec": {"containers": [patch]}});
    let container = |field: &str| format!("/Spec/Containers/0/{field}");
    let port =
        json!({"Name": "z", "Protocol": "tcp", "Port": 5, "HostPort": 0, "HostPortRange": null});
    let cases: Vec<(Value, Vec<(String, Value)>)> = vec![
        (
            json!({"maxSurge": "2"}),
            vec![("/MaxSurge".into(), json!("2"))],
        ),
        (
            json!({"max_surge": "2", "rooms_replicas": "0"}),
            vec![
                ("/MaxSurge".into(), json!("2")),
                ("/RoomsReplicas".into(), json!(0)),
            ],
        ),
        (
            json!({"portRange": {"start": 5, "end": 6}}),
            vec![
                ("/PortRange/End".into(), json!(6)),
                ("/PortRange/Start".into(), json!(5)),
            ],
        ),
        (
            json!({"annotations": {}}),
            vec![("/Annotations".into(), json!({}))],
        ),
        (
            json!({"labels": {"x": "y"}}),
            vec![("/Labels".into(), json!({"x": "y"}))],
        ),
        (
            json!({"matchAllocation": {"maxMatches": 1}}),
            vec![("/MatchAllocation/MaxMatches".into(), json!(1))],
        ),
        // An empty list counts as absent: forwarders and containers cannot be removed.
        (
            json!({"forwarders": [], "spec": {"containers": []}}),
            vec![],
        ),
        (
            json!({"forwarders": [{"name": "b", "type": "gRPC", "address": "b:1"}]}),
            vec![
                ("/Forwarders/0/Address".into(), json!("b:1")),
                ("/Forwarders/0/Enabled".into(), json!(false)),
                ("/Forwarders/0/Name".into(), json!("b")),
            ],
        ),
        (
            json!({"autoscaling": {"max": -1}}),
            vec![("/Autoscaling/Max".into(), json!(-1))],
        ),
        (
            json!({"autoscaling": {"enabled": false, "min": 2, "cooldown": 0}}),
            vec![
                ("/Autoscaling/Cooldown".into(), json!(0)),
                ("/Autoscaling/Enabled".into(), json!(false)),
                ("/Autoscaling/Min".into(), json!(2)),
            ],
        ),
        (json!({"autoscaling": {}}), vec![]),
        (
            json!({"autoscaling": {"policy": {"type": "fixedBuffer", "parameters": {"fixedBuffer": {"amount": 3}}}}}),
            vec![
                (
                    "/Autoscaling/Policy/Parameters/FixedBuffer".into(),
                    json!({"Amount": 3}),
                ),
                (
                    "/Autoscaling/Policy/Parameters/RoomOccupancy".into(),
                    Value::Null,
                ),
                ("/Autoscaling/Policy/Type".into(), json!("fixedBuffer")),
            ],
        ),
        (
            json!({"spec": {"terminationGracePeriod": "7", "toleration": "t", "affinity": "a"}}),
            vec![
                ("/Spec/Affinity".into(), json!("a")),
                (
                    "/Spec/TerminationGracePeriod".into(),
                    json!(7_000_000_000_i64),
                ),
                ("/Spec/Toleration".into(), json!("t")),
            ],
        ),
        // Neither field can be patched; a spec counts as a change nevertheless.
        (
            json!({"game": "go", "spec": {"restartPolicy": "Always", "version": "v3.0.0"}}),
            vec![],
        ),
        (
            game(json!({"image": "i:2", "command": [], "environment": [], "ports": []})),
            vec![(container("Image"), json!("i:2"))],
        ),
        (
            game(json!({"command": ["x", "y"], "imagePullPolicy": "Never"})),
            vec![
                (container("Command"), json!(["x", "y"])),
                (container("ImagePullPolicy"), json!("Never")),
            ],
        ),
        (
            game(
                json!({"ports": [{"name": "z", "protocol": "tcp", "port": 5}, {"name": "z", "protocol": "tcp", "port": 5}]}),
            ),
            vec![(container("Ports"), json!([port, port]))],
        ),
        (
            game(json!({"requests": {"memory": "1", "cpu": "2"}})),
            vec![
                (container("Requests/CPU"), json!("2")),
                (container("Requests/Memory"), json!("1")),
            ],
        ),
    ];
    create(&fleet, "untouched").await;
    let before = patched(&fleet, "untouched", &json!({"spec": {}})).await;
    for (index, (patch, expected)) in cases.into_iter().enumerate() {
        let name = format!("patched-{index}");
        create(&fleet, &name).await;
        let mut after = patched(&fleet, &name, &patch).await;
        for own in ["Name", "CreatedAt"] {
            after[own] = before[own].clone();
        }
        let mut found = Vec::new();
        differences("", &before, &after, &mut found);
        assert_eq!(found, expected, "{patch}");
    }
}

#[actix_web::test]
async fn what_a_patch_makes_invalid_is_refused_by_tag() {
    let fleet = Fleet::start(true).await;
    create(&fleet, "arena").await;
    for (patch, violations) in [
        (
            json!({"matchAllocation": {}}),
            vec![("MatchAllocation.MaxMatches", "required")],
        ),
        (
            json!({"portRange": {}}),
            vec![("PortRange.Start", "ltfield"), ("PortRange.End", "gtfield")],
        ),
        (json!({"roomsReplicas": -1}), vec![("RoomsReplicas", "min")]),
        (
            json!({"autoscaling": {"policy": {}}}),
            vec![("Autoscaling.Policy.Type", "oneof")],
        ),
        (
            json!({"autoscaling": {"policy": {"type": "fixedBuffer"}}}),
            vec![(
                "Autoscaling.Policy.FixedBuffer",
                "required_for_fixed_buffer",
            )],
        ),
        (
            json!({"spec": {"containers": [{"requests": {}}]}}),
            vec![
                ("Spec.Containers[0].Requests.Memory", "required"),
                ("Spec.Containers[0].Requests.CPU", "required"),
            ],
        ),
        (
            json!({"spec": {"containers": [{"name": ""}]}}),
            vec![("Spec.Containers[0].Name", "required")],
        ),
    ] {
        let lines: Vec<String> = violations
            .iter()
            .map(|(path, tag)| {
                let field = path.rsplit('.').next().unwrap_or(path);
                format!("Key: 'Scheduler.{path}' Error:Field validation for '{field}' failed on the '{tag}' tag")
            })
            .collect();
        let text = format!("invalid patched scheduler: {}", lines.join("\n"));
        let refused = fleet
            .send(Method::PATCH, "/schedulers/arena", patch.clone())
            .await;
        assert_eq!(refused.failure(), (400, 3, text), "{patch}");
    }
}

#[actix_web::test]
async fn edits_are_refused_in_the_contracts_order() {
    let fleet = Fleet::start(true).await;
    create(&fleet, "arena").await;
    let valid = arena(0);
    let send = async |method: &Method, path: &str, body: Value| {
        let reply = fleet.send(method.clone(), path, body).await;
        let (status, code, message) = reply.failure();
        (
            status,
            code,
            message.lines().next().unwrap_or("").to_owned(),
        )
    };
    let (post, put, patch, delete) = (Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let invalid = (400, 3, "Validation Error:".to_owned());
    let unchanged = |name: &str| (409, 6, format!("no change found to scheduler {name}"));
    let missing = |what: &str| {
        let text = format!("no scheduler found, can not {what}: scheduler nobody not found");
        (404, 5, text)
    };
    let no_version = missing("create new version for inexistent scheduler");
    // Without an edit in progress: first the body is checked, then the scheduler's existence.
    let nobody = "/schedulers/nobody";
    assert_eq!(send(&patch, nobody, json!({})).await, unchanged("nobody"));
    let surge = json!({"maxSurge": "abc"});
    assert_eq!(send(&patch, nobody, surge.clone()).await, no_version);
    assert_eq!(send(&post, nobody, json!({})).await, invalid);
    assert_eq!(send(&post, nobody, valid.clone()).await, no_version);
    let gone = missing("delete nonexistent scheduler");
    assert_eq!(send(&delete, nobody, Value::Null).await, gone);
    let amount = json!({"amount": 0});
    let unknown = (404, 5, "scheduler nobody not found".to_owned());
    let add = "/schedulers/nobody/add-rooms";
    assert_eq!(send(&post, add, amount).await, unknown);
    // While an edit of versions is in progress: first the body, then the conflict, then the rest.
    let arena = "/schedulers/arena";
    let open = fleet
        .send(Method::PATCH, arena, json!({"maxSurge": "2"}))
        .await
        .ok();
    let open = open["operationId"].as_str().expect("an id").to_owned();
    let conflict = |what: &str| {
        let text = format!(
            "cannot {what}: there is already an ongoing version operation (id: {open}) for scheduler arena"
        );
        (400, 9, text)
    };
    assert_eq!(send(&patch, arena, json!({})).await, unchanged("arena"));
    let patching = conflict("patch scheduler");
    assert_eq!(send(&patch, arena, surge).await, patching);
    assert_eq!(send(&post, arena, json!({})).await, invalid);
    let creating = conflict("create new scheduler version");
    assert_eq!(send(&post, arena, valid).await, creating);
    let switching = conflict("switch active version");
    let version = json!({"version": "v1.0.0"});
    assert_eq!(send(&put, arena, version).await, switching);
    // A deletion causes no conflict, and requesting it twice has the same effect as once.
    let first = fleet.send(Method::DELETE, arena, Value::Null).await.ok();
    let second = fleet.send(Method::DELETE, arena, Value::Null).await.ok();
    assert_eq!(first, second);
}

#[actix_web::test]
async fn the_name_in_the_path_wins_over_that_in_the_body() {
    let fleet = Fleet::start(true).await;
    create(&fleet, "arena").await;
    // The name in the body is ignored, even if it is invalid.
    let mut wanted = arena(0);
    wanted["name"] = "BAD NAME".into();
    let ordered = fleet
        .send(Method::POST, "/schedulers/arena", wanted)
        .await
        .ok();
    let id = ordered["operationId"].as_str().expect("an id");
    let operation = fleet
        .get(&format!("/schedulers/arena/operations/{id}"))
        .await
        .ok();
    let input = &operation["operation"]["input"]["scheduler"];
    assert_eq!(input["Name"], "arena");
    // Fields left out of a full document are not taken from the previous version.
    assert_eq!(input["MatchAllocation"], json!({"MaxMatches": 1}));
    assert_eq!(
        (&input["Labels"], &input["Autoscaling"]),
        (&Value::Null, &Value::Null)
    );
}

#[actix_web::test]
async fn the_listing_tells_when_a_scheduler_was_made_and_the_scheduler_when_its_version_was() {
    let fleet = Fleet::start(false).await;
    create(&fleet, "arena").await;
    let listed = async || {
        let all = fleet.get("/schedulers").await.ok();
        all["schedulers"][0]["createdAt"].clone()
    };
    let shown = async |query: &str| {
        let one = fleet.get(&format!("/schedulers/arena{query}")).await.ok();
        one["scheduler"]["createdAt"].clone()
    };
    let made = listed().await;
    assert_eq!(shown("").await, made);
    fleet
        .until("it is in sync", async |fleet| {
            fleet.get("/schedulers/arena").await.ok()["scheduler"]["state"] == "in-sync"
        })
        .await;
    let patch = json!({"maxSurge": "2"});
    fleet
        .send(Method::PATCH, "/schedulers/arena", patch)
        .await
        .ok();
    fleet
        .until("the new version is active", async |fleet| {
            let one = fleet.get("/schedulers/arena").await.ok();
            one["scheduler"]["spec"]["version"] == "v1.1.0"
        })
        .await;
    assert_eq!(listed().await, made);
    let versions = fleet.get("/schedulers/arena/versions").await.ok();
    let newest = &versions["versions"][0];
    assert_eq!(
        (&newest["version"], &newest["createdAt"]),
        (&json!("v1.1.0"), &shown("").await)
    );
    assert_ne!(newest["createdAt"], made);
    assert_eq!(shown("?version=v1.0.0").await, made);
}

#[actix_web::test]
async fn the_same_document_again_makes_a_minor_version() {
    // A full document is not compared with the active version (contract 2.4); an absent restart policy means `Never`
    // (D4).
    let fleet = Fleet::start(false).await;
    let mut same = arena(0);
    fleet
        .send(Method::POST, "/schedulers", same.clone())
        .await
        .ok();
    same["spec"]["restartPolicy"] = "Never".into();
    for version in ["v1.1.0", "v1.2.0"] {
        let ordered = fleet
            .send(Method::POST, "/schedulers/arena", same.clone())
            .await
            .ok();
        assert_eq!(
            fleet.operation_ends(&ordered["operationId"]).await,
            "finished"
        );
        fleet
            .until(version, async |fleet| {
                let one = fleet.get("/schedulers/arena").await.ok();
                one["scheduler"]["spec"]["version"] == version
                    && one["scheduler"]["state"] == "in-sync"
            })
            .await;
    }
}
