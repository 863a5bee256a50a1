//! Limits on what one caller can cost the others: unknown names, and time.

use std::time::{Duration, Instant};

use actix_web::http::Method;
use maestro_actors::ActorSettings;
use maestro_api::{ManagementApi, ManagementService, RequestContext, RoomsApi, RoomsService};
use maestro_testkit::fake::{Gate, StoreCall, StoreFault};
use serde_json::{Value, json};

use crate::fleet::{Fleet, arena};

/// Maximum number of owners for names that no scheduler has.
const STRANGERS_MAX: usize = 256;

#[actix_web::test]
async fn orders_for_schedulers_that_do_not_exist_are_bounded() {
    let fleet = Fleet::start(true).await;
    fleet.create(0).await;
    let version = || json!({"version": "v1.0.0"});
    let switch = async |name: &str| {
        let path = format!("/schedulers/{name}");
        fleet.send(Method::PUT, &path, version()).await
    };
    for n in 0..STRANGERS_MAX {
        switch(&format!("nobody-{n}")).await.ok();
    }
    let (status, code, message) = switch("one-more").await.failure();
    assert_eq!((status, code), (429, 8), "{message}");
    assert!(
        message.contains("one-more not found") && message.contains("create it first"),
        "{message}"
    );
    // A name that has an owner keeps it, an existing scheduler needs no place, and a creation evicts one.
    let (status, code, _) = switch("nobody-0").await.failure();
    assert_eq!((status, code), (400, 9));
    switch("arena").await.ok();
    let mut created = arena(0);
    created["name"] = "nobody-1".into();
    fleet.send(Method::POST, "/schedulers", created).await.ok();
    switch("one-more").await.ok();
    assert_eq!(switch("yet-another").await.failure().0, 429);
}

fn within(millis: u64) -> RequestContext {
    RequestContext {
        deadline: Some(Instant::now() + Duration::from_millis(millis)),
        ..RequestContext::internal()
    }
}

/// Clearly shorter than the five seconds after which a read times out.
const SOON: Duration = Duration::from_secs(4);

#[actix_web::test]
async fn a_callers_deadline_shortens_its_reads() {
    let (fleet, gate) = Fleet::with_held_reads().await;
    let service = ManagementService::new(fleet.node.clone());
    let began = Instant::now();
    let errors = [
        service
            .get_scheduler(&within(50), Default::default())
            .await
            .unwrap_err(),
        service
            .list_schedulers(&within(50), Default::default())
            .await
            .unwrap_err(),
        service
            .get_scheduler_versions(&within(50), Default::default())
            .await
            .unwrap_err(),
        service
            .get_schedulers_info(&within(50), Default::default())
            .await
            .unwrap_err(),
    ];
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    for error in errors {
        assert_eq!(error.code.number(), 4, "{error}");
    }
    gate.open();
}

#[actix_web::test]
async fn a_callers_deadline_shortens_its_ping() {
    let mut patient = ActorSettings::default();
    patient.timeouts.ping = Duration::from_secs(60);
    let fleet = Fleet::start_with(false, patient).await;
    fleet.create(1).await;
    fleet
        .until("the room runs", async |fleet| {
            fleet.runtime.rooms("arena").len() == 1
        })
        .await;
    let room = fleet.runtime.rooms("arena")[0].to_string();
    let path = format!("/scheduler/arena/rooms/{room}/ping");
    let ready = json!({"status": "ready"});
    fleet
        .until("its ping is taken", async |fleet| {
            let answer = fleet.room(Method::PUT, &path, ready.clone()).await.ok();
            answer["success"] == Value::Bool(true)
        })
        .await;
    // The change of status is answered only once it is stored, and the store blocks.
    let gate = Gate::closed();
    fleet
        .store
        .fail_always(StoreCall::Commit, StoreFault::Held(gate.clone()));
    let service = RoomsService::new(fleet.node.clone());
    let request = maestro_api::codec::messages::UpdateRoomWithPingRequest {
        scheduler_name: "arena".into(),
        room_name: room,
        status: "occupied".into(),
        ..Default::default()
    };
    let began = Instant::now();
    let answer = service.update_room_with_ping(&within(50), request).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(!answer.expect("pings are answered").success);
    fleet.store.heal();
    gate.open();
}
