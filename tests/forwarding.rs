//! Forwarding of events from rooms to matchmakers, with the built binary.

mod support;

use maestro_grpc::testing::TestForwarder;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use support::{BINARY, Home, Maestro, eventually, seconds};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Creates rooms that send nothing by themselves, and whose events go to the matchmaker at `to`.
async fn fleet(home: &Home, maestro: &Maestro, name: &str, rooms: u32, to: &str) -> Vec<String> {
    let mut fleet = home.mute_fleet(name, rooms);
    fleet["forwarders"] = json!([
        {"name": "off", "enable": false, "type": "gRPC", "address": "127.0.0.1:1"},
        {"name": "mm", "enable": true, "type": "gRPC", "address": to,
         "options": {"timeout": 5000, "metadata": {"roomType": "duel"}}},
    ]);
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let there = || async { ids(maestro, name).await.len() == rooms as usize };
    assert!(eventually(seconds(30), there).await, "not {rooms} rooms");
    let ids = ids(maestro, name).await;
    for id in &ids {
        let path = format!("{}/scheduler/{name}/rooms/{id}/address", maestro.rooms);
        let placed = || async { maestro.call("GET", &path, None).await.0 == 200 };
        assert!(eventually(seconds(30), placed).await, "{id} has no address");
    }
    ids
}

async fn ids(maestro: &Maestro, scheduler: &str) -> Vec<String> {
    let (_, body) = maestro.get(&format!("/schedulers/{scheduler}/rooms")).await;
    let rooms = body["rooms"].as_array().cloned().unwrap_or_default();
    let ids = rooms.iter().filter_map(|room| room["id"].as_str());
    ids.map(str::to_owned).collect()
}

async fn event(maestro: &Maestro, room: &str, kind: &str, body: Value) -> Value {
    let url = format!("{}/scheduler/arena/rooms/{room}/{kind}", maestro.rooms);
    let method = if kind == "status" { "PUT" } else { "POST" };
    let (status, body) = maestro.call(method, &url, Some(&body)).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn ping(maestro: &Maestro, room: &str, status: &str) {
    let body = json!({"status": status, "metadata": {"n": 1e6}});
    let answer = maestro.ping("arena", room, &body).await;
    assert_eq!(answer, (200, json!({"success": true})));
}

async fn told(mm: &TestForwarder, room: &str, words: &[&str]) {
    let came = eventually(seconds(30), || async {
        mm.words(room).len() >= words.len()
    });
    assert!(came.await, "{:?}", mm.words(room));
    assert_eq!(mm.words(room), words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_hears_of_everything_that_happens_in_a_room() {
    let (home, mm) = (Home::new(), TestForwarder::start());
    let maestro = home.start();
    let room = &fleet(&home, &maestro, "arena", 1, &mm.address()).await[0];
    let done = json!({"success": true, "message": ""});
    ping(&maestro, room, "ready").await;
    told(&mm, room, &["resync:ready"]).await;
    let first = mm.received().remove(0);
    let place = first.room();
    assert_eq!(
        (place.game.as_str(), place.host.as_str()),
        ("tests", "127.0.0.1")
    );
    assert_eq!(place.room_type, "duel");
    let ports = format!(
        r#"[{{"name":"game","port":{},"protocol":"TCP"}}]"#,
        place.port
    );
    let pairs = [
        ("eventType", "resync"),
        ("pingType", "ready"),
        ("ports", ports.as_str()),
        ("n", "1e+06"),
        ("roomType", "duel"),
    ];
    for (key, value) in pairs {
        assert_eq!(first.metadata(key), Some(value), "{key}");
    }
    ping(&maestro, room, "occupied").await;
    told(&mm, room, &["resync:ready", "resync:occupied"]).await;
    assert_eq!(
        event(&maestro, room, "roomevent", json!({"event": "goal"})).await,
        done
    );
    let joined = json!({"event": "playerJoin", "metadata": {"playerId": "p1"}});
    assert_eq!(event(&maestro, room, "playerevent", joined).await, done);
    let status = event(&maestro, room, "status", json!({"status": "Ready"})).await;
    assert_eq!(status, json!({"success": true}));
    let (code, body) = maestro
        .delete(&format!("/schedulers/arena/rooms/{room}?force=true"))
        .await;
    assert_eq!(code, 200, "{body}");
    let words = [
        "resync:ready",
        "resync:occupied",
        "event:goal",
        "player:p1",
        "status:ready",
        "status:terminated",
    ];
    told(&mm, room, &words).await;
    let labels = r#"{game="tests",scheduler="arena",code="OK"}"#;
    let player = format!("maestro_api_success_player_event_forwarding_total{labels} 1");
    let rooms = format!("maestro_api_success_room_event_forwarding_total{labels} ");
    // The matchmaker receives a call a moment before it is counted as answered.
    let counted = eventually(seconds(5), || async {
        let (_, page) = maestro.internal("GET", "/metrics", None).await;
        let page = page.as_str().expect("a page");
        page.contains(&player) && page.contains(&rooms)
    });
    assert!(counted.await, "{player} and {rooms}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_that_refuses_or_is_away_is_told_to_who_waits_and_heals_by_itself() {
    let (home, mut mm) = (Home::new(), TestForwarder::start());
    let maestro = home.start();
    let room = &fleet(&home, &maestro, "arena", 1, &mm.address()).await[0];
    let goal = || event(&maestro, room, "roomevent", json!({"event": "goal"}));
    mm.answer(404, "who is that");
    let refused = json!({"success": false, "message": r#"failed to forward event room at "mm""#});
    assert_eq!(goal().await, refused);
    mm.answer(200, "");
    assert_eq!(goal().await["success"], true);

    tokio::task::block_in_place(|| mm.stop());
    let start = format!(
        r#"failed to forward event room at "mm" with code Unavailable: cannot connect to {}: "#,
        mm.address()
    );
    let down = || async {
        let answer = goal().await;
        answer["message"]
            .as_str()
            .is_some_and(|text| text.starts_with(&start))
    };
    assert!(eventually(seconds(30), down).await, "{}", goal().await);
    // Rooms do not notice.
    ping(&maestro, room, "ready").await;
    ping(&maestro, room, "occupied").await;
    let counted = || async {
        let (_, page) = maestro.internal("GET", "/metrics", None).await;
        let name = r#"maestro_api_failed_ping_forwarding_total{scheduler="arena"} 2"#;
        page.as_str().is_some_and(|page| page.contains(name))
    };
    assert!(eventually(seconds(30), counted).await, "not counted");

    tokio::task::block_in_place(|| mm.restart());
    let heals = || async { goal().await["success"] == true };
    assert!(eventually(seconds(30), heals).await, "{}", goal().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_that_hangs_delays_no_ping_and_no_other_room() {
    let (home, mm) = (Home::new(), TestForwarder::start());
    let maestro = home.start();
    let rooms = fleet(&home, &maestro, "arena", 2, &mm.address()).await;
    let gate = mm.hold(&rooms[0]);
    for _ in 0..3 {
        ping(&maestro, &rooms[0], "ready").await;
        ping(&maestro, &rooms[1], "ready").await;
    }
    told(&mm, &rooms[1], &["resync:ready"; 3]).await;
    assert_eq!(mm.words(&rooms[0]), ["resync:ready"]);
    // The actor still does everything else.
    assert_eq!(maestro.allocate("arena").await.0, 200);
    gate.open();
    told(&mm, &rooms[0], &["resync:ready"; 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_told_in_their_order_and_their_ends_last() {
    let (home, mm) = (Home::new(), TestForwarder::start());
    let maestro = home.start();
    let rooms = fleet(&home, &maestro, "arena", 3, &mm.address()).await;
    let mut words = Vec::new();
    for n in 0..40 {
        let (status, word) = match n % 3 {
            0 => ("occupied", "resync:occupied"),
            _ => ("ready", "resync:ready"),
        };
        // All rooms at once, each in its own order.
        let pings = rooms.iter().map(|room| ping(&maestro, room, status));
        futures_util::future::join_all(pings).await;
        words.push(word);
    }
    maestro.remove("arena").await;
    words.push("status:terminated");
    for room in &rooms {
        told(&mm, room, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_forwarder_prints_what_it_is_told_and_answers_as_asked() {
    let home = Home::new();
    let mut sample = Command::new(BINARY)
        .args(["forwarder", "--listen", "0", "--code", "406"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(sample.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let first = line();
    let address = first.strip_prefix("listening on ").expect("an address");
    let maestro = home.start();
    fleet(&home, &maestro, "arena", 0, address).await;
    let ended = json!({"event": "terminated", "metadata": {"n": 5}});
    let answer = event(&maestro, "ghost", "roomevent", ended).await;
    let refused = r#"failed to forward event room at "mm""#;
    assert_eq!(answer, json!({"success": false, "message": refused}));
    let expected = concat!(
        r#"event terminated room=ghost game=tests {"eventType":"roomEvent","n":"5","#,
        r#""ports":"[{\"name\":\"\",\"port\":0,\"protocol\":\"\"}]","#,
        r#""roomEvent":"terminated","roomType":"duel"}"#
    );
    assert_eq!(line(), expected);
    sample.kill().expect("it can be killed");
    sample.wait().expect("it ended");
}

/// A proxy to a matchmaker that counts its connections.
struct Wire {
    address: String,
    open: Arc<AtomicUsize>,
}

impl Wire {
    async fn to(matchmaker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let open = Arc::new(AtomicUsize::new(0));
        let counted = open.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let (counted, matchmaker) = (counted.clone(), matchmaker.clone());
                counted.fetch_add(1, SeqCst);
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(matchmaker).await.expect("it listens");
                    // Runs until one side closes the connection.
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                    counted.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, open }
    }

    async fn until_open(&self, wanted: usize) {
        let there = || async { self.open.load(SeqCst) == wanted };
        let came = eventually(seconds(20), there).await;
        assert!(came, "{} connections", self.open.load(SeqCst));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_a_matchmaker_ends_with_the_last_scheduler_that_uses_it() {
    let (home, mm) = (Home::new(), TestForwarder::start());
    let [shared, other] = [Wire::to(mm.address()).await, Wire::to(mm.address()).await];
    let maestro = home.start();
    for name in ["arena", "duel"] {
        let room = fleet(&home, &maestro, name, 1, &shared.address)
            .await
            .remove(0);
        maestro.ping(name, &room, &json!({"status": "ready"})).await;
        told(&mm, &room, &["resync:ready"]).await;
    }
    shared.until_open(1).await;
    maestro.remove("arena").await;
    // The other scheduler still uses the same connection.
    let room = ids(&maestro, "duel").await.remove(0);
    maestro
        .ping("duel", &room, &json!({"status": "occupied"}))
        .await;
    told(&mm, &room, &["resync:ready", "resync:occupied"]).await;
    assert_eq!(shared.open.load(SeqCst), 1);
    // From now on it has another recipient.
    let to = json!({"forwarders": [
        {"name": "mm", "enable": true, "type": "gRPC", "address": other.address, "options": {"timeout": 5000}},
    ]});
    let answer = maestro.patch("/schedulers/duel", &to).await;
    maestro.done("duel", answer).await;
    maestro
        .ping("duel", &room, &json!({"status": "ready"}))
        .await;
    other.until_open(1).await;
    shared.until_open(0).await;
    // The ends of its rooms are sent, and then the connection is closed.
    maestro.remove("duel").await;
    let ended = || async { mm.words(&room).contains(&"status:terminated".to_owned()) };
    assert!(
        eventually(seconds(20), ended).await,
        "{:?}",
        mm.words(&room)
    );
    other.until_open(0).await;
}
