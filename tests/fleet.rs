//! A fleet from its creation to its end, as its users see it over HTTP.

mod support;

use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use support::{Home, Maestro, eventually, history, seconds};

#[tokio::test(flavor = "multi_thread")]
async fn a_created_fleet_is_in_sync_with_ready_rooms_until_it_is_deleted() {
    let home = Home::new();
    let maestro = home.start();
    let (status, body) = maestro.post("/schedulers", &home.fleet("arena", 3)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["scheduler"]["state"], "creating");
    assert_eq!(body["scheduler"]["spec"]["version"], "v1.0.0");
    maestro.wait_ready("arena", 3).await;
    assert_eq!(maestro.state("arena").await, "in-sync");
    assert_eq!(home.pids("arena").len(), 3);

    let (_, listed) = maestro.get("/schedulers?game=tests").await;
    assert_eq!(listed["schedulers"][0]["name"], "arena");
    assert_eq!(listed["schedulers"][0]["version"], "v1.0.0");
    assert_eq!(
        maestro.get("/schedulers?game=none").await.1["schedulers"],
        json!([])
    );
    let (_, by_version) = maestro.get("/schedulers/arena?version=v1.0.0").await;
    assert_eq!(by_version["scheduler"]["roomsReplicas"], 3);
    assert_eq!(maestro.get("/schedulers/arena?version=1.0.0").await.0, 404);
    let (_, versions) = maestro.get("/schedulers/arena/versions").await;
    assert_eq!(versions["versions"][0]["isActive"], true);

    let done = maestro.operations("arena", "final").await;
    let names: Vec<_> = done.iter().map(|o| &o["definitionName"]).collect();
    assert!(
        names.contains(&&json!("create_scheduler")) && names.contains(&&json!("add_rooms")),
        "{names:?}"
    );

    let deletion = maestro.delete("/schedulers/arena").await;
    let deletion = maestro.done("arena", deletion).await;
    assert_eq!(deletion["status"], "finished", "{}", history(&deletion));
    assert_eq!(maestro.get("/schedulers/arena").await.0, 404);
    assert!(home.processes().is_empty(), "{:?}", home.processes());
    assert!(!home.path().join("rooms/arena").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_name_can_be_used_again() {
    let home = Home::new();
    let maestro = home.start();
    for round in 1..=3 {
        maestro.bring_up(&home.fleet("again", round)).await;
        maestro.remove("again").await;
        assert!(home.processes().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_only_pings_by_hand_follows_its_pings() {
    let home = Home::new();
    let maestro = home.start();
    maestro
        .post("/schedulers", &home.mute_fleet("hand", 1))
        .await;
    let room = one_room(&home, "hand").await;
    let ping = |body: Value| {
        let (maestro, room) = (&maestro, &room);
        async move { maestro.ping("hand", room, &body).await }
    };
    // Its instance may become known only a moment after its process.
    let taken = eventually(seconds(10), || async {
        let body = json!({"status": "ready", "timestamp": "12312312313"});
        ping(body).await == (200, json!({"success": true}))
    });
    assert!(taken.await);
    maestro.wait_ready("hand", 1).await;
    let occupied = json!({"status": "occupied", "timestamp": 1, "running_matches": 1});
    assert_eq!(ping(occupied).await.1["success"], true);
    maestro
        .until_info("hand", "occupied", |i| i["roomsOccupied"] == 1)
        .await;
    assert_eq!(ping(json!({"status": "pending"})).await.0, 400);
    assert_eq!(ping(json!({"status": "READY"})).await.0, 400);
    assert_eq!(
        ping(json!({"status": "terminating"})).await.1["success"],
        true
    );
    maestro
        .until_info("hand", "terminating", |i| i["roomsTerminating"] == 1)
        .await;
    maestro.remove("hand").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_ready_room_is_given_once() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("once", 4)).await;
    let calls = (0..12).map(|_| maestro.allocate("once"));
    let answers = futures(calls).await;
    let (given, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(s, _)| *s == 200);
    let rooms: HashSet<_> = given.iter().map(|(_, b)| b["roomId"].to_string()).collect();
    assert_eq!(
        (given.len(), rooms.len(), refused.len()),
        (4, 4, 8),
        "{given:?}"
    );
    for (status, body) in refused {
        assert_eq!((status, &body["code"]), (503, &json!(14)), "{body}");
    }

    // The address of an allocation is the room's, and a game listens there.
    let (_, first) = &given[0];
    let room = first["roomId"].as_str().unwrap();
    let url = format!("{}/scheduler/once/rooms/{room}/address", maestro.rooms);
    let (status, address) = maestro.call("GET", &url, None).await;
    assert_eq!(status, 200, "{address}");
    assert_eq!(
        (&address["ports"], &address["host"]),
        (&first["ports"], &first["host"])
    );
    let port = first["ports"][0]["port"].as_u64().unwrap();
    assert_eq!(first["ports"][0]["protocol"], "TCP");
    let game = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await;
    assert!(game.is_ok(), "{game:?}");
    let missing = format!("{}/scheduler/once/rooms/nobody/address", maestro.rooms);
    let (status, body) = maestro.call("GET", &missing, None).await;
    assert_eq!((status, &body["code"]), (404, &json!(5)), "{body}");
    maestro.remove("once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_ends_after_its_time() {
    let home = Home::new();
    let ttl = "MAESTRO_SERVICES_ROOMMANAGER_ROOMALLOCATIONTTLMILLIS";
    let maestro = home.start_with(&[(ttl, "1500")]);
    maestro.bring_up(&home.fleet("hold", 1)).await;
    let (status, first) = maestro.allocate("hold").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(maestro.allocate("hold").await.0, 503);
    let again = eventually(seconds(15), || async {
        maestro.allocate("hold").await.0 == 200
    });
    assert!(again.await, "it was never given back");
    maestro.remove("hold").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_comes_up_from_its_json_and_from_its_yaml() {
    let home = Home::new();
    let maestro = home.start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    assert!(files.len() >= 3);
    for path in files {
        let json = std::fs::read_to_string(&path).unwrap();
        let yaml = std::fs::read_to_string(path.with_extension("yaml")).unwrap();
        let wanted: Value = serde_json::from_str(&json).unwrap();
        let name = wanted["name"].as_str().unwrap();
        for (kind, text) in [("application/json", json), ("application/yaml", yaml)] {
            // The text gets the test's own ports and a short shutdown; nothing else is changed.
            let text = text.replace("30s", "1s");
            let request = maestro
                .http
                .post(format!("{}/schedulers", maestro.management));
            let answer = request.header("Content-Type", kind).body(text).send().await;
            let answer = answer.unwrap();
            let status = answer.status().as_u16();
            assert_eq!(
                status,
                200,
                "{kind} {}: {}",
                path.display(),
                answer.text().await.unwrap()
            );
            let rooms = wanted["roomsReplicas"].as_u64().unwrap();
            maestro
                .until_info(name, "up", |info| {
                    let of = |key: &str| info[key].as_u64().unwrap_or(0);
                    of("roomsReady") + of("roomsOccupied") >= rooms
                })
                .await;
            maestro.remove(name).await;
        }
    }
    assert!(home.processes().is_empty());
}

/// The id of the only room, once its process is there.
async fn one_room(home: &Home, scheduler: &str) -> String {
    let there = eventually(seconds(20), || async { home.pids(scheduler).len() == 1 });
    assert!(there.await, "{:?}", home.pids(scheduler));
    home.pids(scheduler).remove(0).0
}

async fn futures<T>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    futures_util::future::join_all(calls).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fleets_do_not_know_of_each_other() {
    let home = Home::new();
    let maestro: Maestro = home.start();
    let (one, two) = (home.fleet("one", 2), home.fleet("two", 2));
    tokio::join!(maestro.bring_up(&one), maestro.bring_up(&two));
    let kept = home.pids("two");
    maestro.remove("one").await;
    assert_eq!(home.pids("two"), kept);
    assert_eq!(maestro.ready_rooms("two").await, 2);
    maestro.remove("two").await;
}
