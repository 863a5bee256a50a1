//! Rooms as processes of this machine: their environment, and their fate.

mod support;

use serde_json::{Value, json};
use std::time::Instant;
use support::{Home, Maestro, eventually, history, seconds, signal, variables_of};

use rustix::process::Signal;

/// Waits for the text of a room's log.
async fn log_of(home: &Home, scheduler: &str, container: &str, wanted: &str) -> String {
    let read = || {
        let folders = std::fs::read_dir(home.path().join("rooms").join(scheduler));
        let rooms = folders.into_iter().flatten().flatten();
        let files = rooms.map(|room| room.path().join(format!("{container}.log")));
        let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
        texts.collect::<Vec<_>>().join("\n")
    };
    let came = eventually(seconds(20), || async { read().contains(wanted) }).await;
    assert!(came, "no {wanted:?} in {container}.log: {:?}", read());
    read()
}

async fn until_pids(home: &Home, scheduler: &str, rooms: usize) -> Vec<(String, i32)> {
    let there = eventually(seconds(20), || async {
        home.pids(scheduler).len() == rooms
    });
    assert!(there.await, "{:?}", home.pids(scheduler));
    home.pids(scheduler)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_given_its_name_its_ports_its_fields_and_its_secrets_and_nothing_of_ours() {
    let home = Home::new();
    let secrets = home.path().join("secrets/store");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("token"), "s3cret\n").unwrap();
    std::fs::write(secrets.join("windows"), "s3cret\r\n").unwrap();
    let maestro = home.start_with(&[("OF_THE_OPERATOR", "private")]);
    let mut fleet = home.fleet("given", 1);
    fleet["spec"]["containers"][0]["environment"] = json!([
        {"name": "PLAIN", "value": "a b=c"},
        {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "store", "key": "token"}}},
        {"name": "WINDOWS", "valueFrom": {"secretKeyRef": {"name": "store", "key": "windows"}}},
        {"name": "MAESTRO_ROOM_ID", "value": "an impostor"},
    ]);
    maestro.bring_up(&fleet).await;
    let (room, pid) = home.pids("given").remove(0);
    let variables = variables_of(pid).unwrap();
    let of = |name: &str| variables.get(name).cloned().unwrap_or_default();
    assert_eq!(
        (of("PLAIN"), of("WHO"), of("TOKEN")),
        ("a b=c".to_owned(), room.clone(), "s3cret".to_owned())
    );
    assert_eq!(of("WINDOWS"), "s3cret");
    assert_eq!(of("WHERE"), "127.0.0.1");
    assert_eq!(
        (of("MAESTRO_SCHEDULER_NAME"), of("MAESTRO_ROOM_ID")),
        ("given".to_owned(), room.clone())
    );
    assert_eq!(of("MAESTRO_ROOMS_API_URL"), maestro.rooms);
    assert_eq!(of("MAESTRO_PORT"), of("MAESTRO_PORT_GAME"));
    assert!(!variables.contains_key("OF_THE_OPERATOR"), "{variables:?}");
    let url = format!("{}/scheduler/given/rooms/{room}/address", maestro.rooms);
    let (_, address) = maestro.call("GET", &url, None).await;
    assert_eq!(address["ports"][0]["port"].to_string(), of("MAESTRO_PORT"));
    // Another process writes it.
    let log = home.room_folder("given", &room).join("game.log");
    assert!(eventually(seconds(10), || async { log.is_file() }).await);
    maestro.remove("given").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_two_containers_is_one_room_with_two_logs() {
    let home = Home::new();
    let maestro = home.start();
    let mut fleet = home.fleet("pair", 1);
    let mut chat = fleet["spec"]["containers"][0].clone();
    chat["name"] = json!("chat");
    chat["command"] = json!([
        "sh",
        "-c",
        "echo chat beside $MAESTRO_PORT_GAME at $MAESTRO_PORT; exec sleep 600"
    ]);
    chat["ports"][0]["name"] = json!("chat");
    fleet["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(chat);
    maestro.bring_up(&fleet).await;
    let pids = home.pids("pair");
    assert_eq!(pids.len(), 2);
    assert_eq!(pids[0].0, pids[1].0, "one room");
    log_of(&home, "pair", "chat", "chat beside").await;
    let (_, given) = maestro.allocate("pair").await;
    let ports: Vec<_> = given["ports"].as_array().unwrap().iter().collect();
    assert_eq!(ports.len(), 2, "{given}");
    assert_ne!(ports[0]["port"], ports[1]["port"]);
    // When one container ends for good, the room is over and is replaced.
    let chat = home.processes().into_iter().find(|p| p.container == "chat");
    signal(chat.unwrap().pid, Signal::KILL);
    let replaced = eventually(seconds(20), || async {
        let now = home.pids("pair");
        now.len() == 2 && now[0].0 == now[1].0 && now[0].0 != pids[0].0
    });
    assert!(replaced.await, "{:?}", home.pids("pair"));
    maestro.remove("pair").await;
    assert!(home.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_to_be_restarted_starts_again_in_its_room() {
    let home = Home::new();
    let maestro = home.start();
    let script = "echo started; exec maestro room --ping-interval 300ms";
    let mut fleet = home.fleet_of("back", 1, &["sh", "-c", script]);
    fleet["spec"]["restartPolicy"] = json!("Always");
    maestro.bring_up(&fleet).await;
    let (room, pid) = home.pids("back").remove(0);
    signal(pid, Signal::KILL);
    let log = home.room_folder("back", &room).join("game.log");
    let again = eventually(seconds(20), || async {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.matches("started").count() == 2
    });
    assert!(again.await, "{:?}", std::fs::read_to_string(&log));
    // A fleet that was filled up meanwhile shrinks to its size.
    let settled = eventually(seconds(20), || async {
        home.pids("back").len() == 1 && maestro.ready_rooms("back").await == 1
    });
    assert!(settled.await, "{:?}", home.pids("back"));
    maestro.remove("back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_ignores_term_is_killed_after_its_grace() {
    let home = Home::new();
    let maestro = home.start();
    let command = [
        "maestro",
        "room",
        "--ping-interval",
        "300ms",
        "--ignore-term",
    ];
    let mut fleet = home.fleet_of("deaf", 2, &command);
    fleet["spec"]["terminationGracePeriod"] = json!("2s");
    maestro.bring_up(&fleet).await;
    let began = Instant::now();
    maestro.remove("deaf").await;
    let took = began.elapsed();
    assert!(took >= seconds(2), "killed before its grace: {took:?}");
    assert!(took < seconds(15), "{took:?}");
    assert!(home.processes().is_empty(), "{:?}", home.processes());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_room_has_started_ends_with_it() {
    let home = Home::new();
    let maestro = home.start();
    // A child in its own session that ignores TERM.
    let script = "trap '' TERM; setsid sleep 601 & exec maestro room --ping-interval 300ms";
    maestro
        .bring_up(&home.fleet_of("family", 1, &["sh", "-c", script]))
        .await;
    let grown = eventually(seconds(10), || async { home.processes().len() >= 2 });
    assert!(grown.await, "{:?}", home.processes());
    maestro.remove("family").await;
    assert!(home.processes().is_empty(), "{:?}", home.processes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_room_is_replaced_within_seconds() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("crash", 3)).await;
    let before = home.pids("crash");
    let (victim, pid) = before[1].clone();
    let began = Instant::now();
    signal(pid, Signal::KILL);
    let replaced = eventually(seconds(20), || async {
        let now = home.pids("crash");
        let fresh = now.iter().all(|(room, _)| *room != victim);
        fresh && now.len() == 3 && maestro.ready_rooms("crash").await == 3
    });
    assert!(replaced.await, "{:?}", home.pids("crash"));
    assert!(began.elapsed() < seconds(10), "{:?}", began.elapsed());
    let now = home.pids("crash");
    let kept = before.iter().filter(|room| now.contains(room)).count();
    assert_eq!(kept, 2, "the others are as they were");
    maestro.remove("crash").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_falls_silent_is_replaced() {
    let home = Home::new();
    let timeout = "MAESTRO_SERVICES_ROOMMANAGER_ROOMPINGTIMEOUTMILLIS";
    let maestro = home.start_with(&[(timeout, "2000")]);
    let command = [
        "maestro",
        "room",
        "--ping-interval",
        "200ms",
        "--stop-pinging-after",
        "2s",
    ];
    maestro.bring_up(&home.fleet_of("mute", 1, &command)).await;
    let (room, _) = until_pids(&home, "mute", 1).await.remove(0);
    let replaced = eventually(seconds(20), || async {
        let now = home.pids("mute");
        !now.is_empty() && now.iter().all(|(id, _)| *id != room)
    });
    assert!(replaced.await, "{:?}", home.pids("mute"));
    maestro.remove("mute").await;
}

/// Waits for the newest ended operation whose history contains all of these words.
async fn told(maestro: &Maestro, scheduler: &str, status: &str, words: &[&str]) -> Value {
    let found = std::sync::Mutex::new(Value::Null);
    let came = eventually(seconds(20), || async {
        for listed in maestro.operations(scheduler, "final").await {
            let id = listed["id"].as_str().expect("an id");
            let whole = maestro.ended(scheduler, id).await;
            let said = history(&whole);
            if whole["status"] == status && words.iter().all(|word| said.contains(word)) {
                *found.lock().expect("whole") = whole;
                return true;
            }
        }
        false
    });
    let came = came.await;
    let all = maestro.operations(scheduler, "final").await;
    assert!(came, "no operation in {status} says {words:?}: {all:?}");
    found.into_inner().expect("whole")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_makes_its_operation_end_in_an_error_that_says_why() {
    let home = Home::new();
    let maestro = home.start();
    let not_executable = home.path().join("text");
    std::fs::write(&not_executable, "hello").unwrap();
    let path = not_executable.to_str().unwrap();
    let cases: [(&str, &[&str], &[&str]); 4] = [
        ("bare", &[], &["no command", "need Kubernetes"]),
        ("ghost", &["no-such-program"], &["no-such-program", "PATH"]),
        (
            "gone",
            &["/no/such/program"],
            &["/no/such/program", "does not exist"],
        ),
        ("text", &[path], &["not executable", "chmod"]),
    ];
    for (name, command, words) in cases {
        let (status, body) = maestro
            .post("/schedulers", &home.fleet_of(name, 2, command))
            .await;
        assert_eq!(status, 200, "the API takes what the contract takes: {body}");
        let operation = told(&maestro, name, "error", words).await;
        assert_eq!(operation["definitionName"], "add_rooms");
        maestro.remove(name).await;
    }
    let secretless =
        json!([{"name": "T", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k"}}}]);
    let mut fleet = home.fleet("secretless", 1);
    fleet["spec"]["containers"][0]["environment"] = secretless;
    maestro.post("/schedulers", &fleet).await;
    told(
        &maestro,
        "secretless",
        "error",
        &["secret \"none\" has no key \"k\"", "secrets/none/k"],
    )
    .await;
    maestro.remove("secretless").await;
    assert!(home.processes().is_empty());
}
