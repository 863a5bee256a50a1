//! The lifecycle of a scheduler through the management API.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use maestro_testkit::fake::StoreCall;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Server, arena};

#[actix_web::test]
async fn a_scheduler_lives_from_create_to_delete() {
    let fleet = Fleet::start(false).await;
    let created = fleet.create(2).await;
    assert_eq!(created["scheduler"]["state"], "creating");
    assert_eq!(
        created["scheduler"]["spec"]["terminationGracePeriod"],
        "90.500s"
    );
    assert_eq!(created["scheduler"]["matchAllocation"]["maxMatches"], 1);

    let listed = fleet
        .get("/schedulers?game=chess&version=v1.0.0")
        .await
        .ok();
    assert_eq!(listed["schedulers"][0]["name"], "arena");
    assert_eq!(
        fleet.get("/schedulers?game=go").await.ok()["schedulers"],
        json!([])
    );
    fleet
        .until("the fleet is in sync", async |fleet| {
            fleet.get("/schedulers/arena").await.ok()["scheduler"]["state"] == "in-sync"
        })
        .await;

    let patched = fleet
        .send(Method::PATCH, "/schedulers/arena", json!({"maxSurge": "5"}))
        .await
        .ok();
    assert_eq!(
        fleet.operation_ends(&patched["operationId"]).await,
        "finished"
    );
    fleet
        .until("the new version is active", async |fleet| {
            let versions = fleet.get("/schedulers/arena/versions").await.ok();
            versions["versions"][0]["version"] == "v1.1.0"
                && versions["versions"][0]["isActive"] == true
        })
        .await;
    let old = fleet.get("/schedulers/arena?version=v1.0.0").await.ok();
    assert_eq!(old["scheduler"]["maxSurge"], "10%");

    let id = patched["operationId"].as_str().unwrap();
    let cancel = format!("/schedulers/arena/operations/{id}/cancel");
    let late = fleet.send(Method::POST, &cancel, Value::Null).await;
    let text = "cannot cancel operation since status \"finished\" is a final status";
    assert_eq!(late.failure(), (409, 10, text.to_owned()));

    let deleted = fleet
        .send(Method::DELETE, "/schedulers/arena", Value::Null)
        .await;
    assert_eq!(
        fleet.operation_ends(&deleted.ok()["operationId"]).await,
        "finished"
    );
    let gone = (404, 5, "scheduler arena not found".to_owned());
    assert_eq!(fleet.get("/schedulers/arena").await.failure(), gone);
    assert_eq!(
        fleet.get("/schedulers/arena/versions").await.failure(),
        gone
    );
}

#[actix_web::test]
async fn rooms_are_added_counted_and_removed() {
    let fleet = Fleet::start(false).await;
    fleet.create(0).await;
    let path = "/schedulers/arena/add-rooms";
    let added = fleet
        .send(Method::POST, path, json!({"amount": 2}))
        .await
        .ok();
    assert_eq!(
        fleet.operation_ends(&added["operationId"]).await,
        "finished"
    );
    fleet
        .until("both rooms are known", async |fleet| {
            let info = fleet.get("/schedulers/info?game=chess").await.ok();
            info["schedulers"][0]["roomsReplicas"] == 2 && fleet.runtime.rooms("arena").len() == 2
        })
        .await;
    let none = fleet.send(Method::POST, path, json!({"amount": 0})).await;
    assert_eq!(none.failure().1, 3);
    let path = "/schedulers/nobody/remove-rooms";
    let nobody = fleet.send(Method::POST, path, json!({"amount": 1})).await;
    assert_eq!(
        nobody.failure(),
        (404, 5, "scheduler nobody not found".into())
    );
}

#[actix_web::test]
async fn orders_wait_are_listed_and_exclude_each_other() {
    let fleet = Fleet::start(true).await;
    fleet.create(0).await;
    let patch = |body| fleet.send(Method::PATCH, "/schedulers/arena", body);
    let empty = patch(json!({"name": "x"})).await.failure();
    assert_eq!(empty, (409, 6, "no change found to scheduler arena".into()));
    let first = patch(json!({"roomsReplicas": 0})).await.ok();
    let id = first["operationId"].as_str().unwrap();
    let second = patch(json!({"maxSurge": "2"})).await.failure();
    let text = format!(
        "cannot patch scheduler: there is already an ongoing version operation (id: {id}) for scheduler arena"
    );
    assert_eq!(second, (400, 9, text));
    let bad = fleet
        .send(Method::POST, "/schedulers", arena(-1))
        .await
        .failure();
    assert_eq!(bad.1, 3);
    let twice = fleet
        .send(Method::POST, "/schedulers", arena(0))
        .await
        .failure();
    let text = "error creating scheduler arena: name already exists";
    assert_eq!(twice, (409, 6, text.into()));

    let pending = fleet
        .get("/schedulers/arena/operations?stage=pending")
        .await
        .ok();
    assert_eq!(
        (&pending["total"], &pending["pageSize"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(pending["operations"][0]["id"], id);
    assert_eq!(
        pending["operations"][1]["definitionName"],
        "create_scheduler"
    );
    let oldest = "/schedulers/arena/operations?stage=pending&orderBy=createdAt%20asc";
    assert_eq!(fleet.get(oldest).await.ok()["operations"][1]["id"], id);
    let ended = fleet
        .get("/schedulers/arena/operations?stage=final&page=2")
        .await
        .ok();
    assert_eq!(
        ended,
        json!({"page": 2, "pageSize": 15, "total": 0, "operations": []})
    );

    let creation = pending["operations"][1]["id"].as_str().unwrap();
    let shown = fleet
        .get(&format!("/schedulers/arena/operations/{creation}"))
        .await
        .ok();
    let input = &shown["operation"]["input"]["scheduler"];
    assert_eq!(input["CreatedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(
        shown["operation"]["executionHistory"][0]["event"],
        "Created"
    );
    let cancel = |id: &str| format!("/schedulers/arena/operations/{id}/cancel");
    let canceled = fleet.send(Method::POST, &cancel(id), Value::Null).await;
    assert_eq!(canceled.ok(), json!({}));
    for other in [
        id.to_uppercase(),
        "no-uuid".into(),
        uuid::Uuid::nil().to_string(),
    ] {
        let text = format!("operation {other} not found in scheduler arena");
        let unknown = fleet.send(Method::POST, &cancel(&other), Value::Null).await;
        assert_eq!(unknown.failure(), (404, 5, text));
    }
}

#[actix_web::test]
async fn an_operation_under_a_scheduler_that_never_was_waits_and_cannot_be_canceled() {
    let fleet = Fleet::start(false).await;
    let path = "/schedulers/nobody";
    let switched = fleet
        .send(Method::PUT, path, json!({"version": "v1.0.0"}))
        .await
        .ok();
    let id = switched["operationId"].as_str().unwrap().to_owned();
    let operation = fleet.get(&format!("{path}/operations/{id}")).await.ok();
    assert_eq!(operation["operation"]["status"], "pending");
    assert_eq!(
        operation["operation"]["input"],
        json!({"newActiveVersion": "v1.0.0"})
    );
    let cancel = format!("{path}/operations/{id}/cancel");
    let unknown = fleet.send(Method::POST, &cancel, Value::Null).await;
    let text = "scheduler nobody not found".to_owned();
    assert_eq!(unknown.failure(), (404, 5, text));
}

#[actix_web::test]
async fn whoever_waits_no_longer_is_told_what_needs_no_store() {
    let fleet = Fleet::start(true).await;
    fleet.create(0).await;
    let late = async |method, path: &str, body: Value| {
        let request = TestRequest::default().method(method).uri(path);
        let request = request.insert_header(("grpc-timeout", "-1S"));
        let request = request.set_payload(body.to_string());
        fleet.raw(&Server::Management, request).await.failure()
    };
    let arena = "/schedulers/arena";
    let while_doing = |words: &str| (500, 2, format!("{words}context deadline exceeded"));
    let passed = while_doing("");
    for (path, words) in [
        (
            "/schedulers",
            "error getting schedulers (operation: GetSchedulersWithFilter): ",
        ),
        (
            "/schedulers/info?game=x",
            "error getting schedulers (operation: GetSchedulersWithFilter): ",
        ),
        (
            arena,
            "error getting scheduler arena (operation: GetScheduler): ",
        ),
        (
            "/schedulers/arena?version=v1.0.0",
            "error getting scheduler arena (operation: GetSchedulerWithFilter): ",
        ),
        (
            "/schedulers/arena/versions",
            "error getting versions of scheduler arena (operation: GetSchedulerVersions): ",
        ),
    ] {
        let answer = late(Method::GET, path, Value::Null).await;
        assert_eq!(answer, while_doing(words), "{path}");
    }
    let mut document = crate::fleet::arena(0);
    document["name"] = json!("other");
    let create = late(Method::POST, "/schedulers", document).await;
    let words = "error creating scheduler other (operation: CreateScheduler): ";
    assert_eq!(create, while_doing(words));
    let switch = late(Method::PUT, arena, json!({"version": "v1.0.0"})).await;
    assert_eq!(switch, passed);
    let (status, code, text) = late(Method::POST, "/schedulers", json!({})).await;
    assert!((status, code) == (400, 3) && text.starts_with("Validation Error"));
    let nothing = late(Method::PATCH, arena, json!({})).await;
    assert_eq!((nothing.0, nothing.1), (409, 6));
    let listing = async |query: &str| {
        let path = format!("{arena}/operations{query}");
        late(Method::GET, &path, Value::Null).await
    };
    let no_stage = (400, 3, "invalid stage filter: ".to_owned());
    assert_eq!(listing("").await, no_stage);
    let unlisted = "error listing operations on final stage".to_owned();
    assert_eq!(listing("?stage=final").await, (500, 2, unlisted));
}

#[actix_web::test]
async fn a_store_that_is_away_is_told_as_such() {
    let fleet = Fleet::start(false).await;
    fleet.store.set_down(true);
    let listing = fleet.get("/schedulers/arena/operations?stage=active").await;
    let text = "error listing operations on active stage";
    assert_eq!(listing.failure(), (500, 2, text.to_owned()));
    let get = fleet.get("/schedulers/arena").await;
    assert_eq!((get.failure().0, get.failure().1), (503, 14));
    assert_eq!(get.retry_after.as_deref(), Some("1"));
    assert!(fleet.store.calls(StoreCall::Read) > 0);
}
