//! Restarts of the orchestrator: its rooms and its promises survive.

mod support;

use serde_json::{Value, json};
use support::{Home, eventually, history, seconds};

#[tokio::test(flavor = "multi_thread")]
async fn rooms_outlive_a_stop_and_are_found_again() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("stay", 4)).await;
    let before = home.pids("stay");
    let (_, given) = maestro.allocate("stay").await;
    let operations = maestro.operations("stay", "final").await.len();
    let status = maestro.stop();
    assert!(status.success(), "{status}");
    assert_eq!(home.pids("stay"), before, "rooms stay");

    let maestro = home.start();
    // The allocated room is still held; the others are ready at once or at their next ping.
    maestro.wait_ready("stay", 3).await;
    assert_eq!(home.pids("stay"), before);
    for _ in 0..3 {
        let (status, room) = maestro.allocate("stay").await;
        assert_eq!(status, 200, "{room}");
        assert_ne!(room["roomId"], given["roomId"], "given twice");
    }
    assert_eq!(maestro.allocate("stay").await.0, 503);
    let after = maestro.operations("stay", "final").await;
    assert_eq!(after.len(), operations, "nothing was done again: {after:?}");
    maestro.remove("stay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_outlive_a_kill_and_are_found_again() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("stay", 4)).await;
    let before = home.pids("stay");
    maestro.kill();
    assert_eq!(home.pids("stay"), before);
    let maestro = home.start();
    maestro.wait_ready("stay", 4).await;
    assert_eq!(home.pids("stay"), before);
    maestro.remove("stay").await;
    assert!(home.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_ended_while_nobody_looked_is_replaced_at_the_next_start() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("gone", 3)).await;
    let before = home.pids("gone");
    maestro.kill();
    support::signal(before[0].1, rustix::process::Signal::KILL);
    let maestro = home.start();
    let replaced = eventually(seconds(20), || async {
        let now = home.pids("gone");
        now.len() == 3 && !now.contains(&before[0]) && before[1..].iter().all(|r| now.contains(r))
    });
    assert!(replaced.await, "{:?}", home.pids("gone"));
    maestro.wait_ready("gone", 3).await;
    maestro.remove("gone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_record_is_lost_is_found_with_its_address() {
    let home = Home::new();
    let maestro = home.start();
    let mut fleet = home.fleet("lost", 3);
    let containers = fleet["spec"]["containers"].as_array_mut().expect("a list");
    let mut setup = containers[0].clone();
    setup["name"] = "setup".into();
    // A second run would end the room.
    setup["command"] = json!(["sh", "-c", "[ ! -e done ] && touch done"]);
    setup["ports"] = json!([]);
    containers.push(setup);
    maestro.bring_up(&fleet).await;
    let alone = eventually(seconds(10), || async { home.pids("lost").len() == 3 });
    assert!(alone.await, "their setup has ended");
    let before = home.pids("lost");
    maestro.kill();
    let record_of = |index: usize| home.room_folder("lost", &before[index].0).join("room.json");
    let record = record_of(0);
    std::fs::remove_file(&record).expect("it is there");
    // One that cannot be written either, and one of a later version.
    std::fs::remove_file(record_of(1)).expect("it is there");
    std::fs::create_dir(record_of(1)).expect("a folder");
    let text = std::fs::read_to_string(record_of(2)).expect("it is there");
    let newer = text.replace("\"format\": 2", "\"format\": 99");
    assert_ne!(text, newer);
    std::fs::write(record_of(2), newer).expect("written");
    let maestro = home.start();
    maestro.wait_ready("lost", 3).await;
    let mut given = Vec::new();
    for _ in 0..3 {
        let (status, room) = maestro.allocate("lost").await;
        assert_eq!(status, 200, "{room}");
        assert!(room["ports"][0]["port"].as_u64().is_some(), "{room}");
        given.push(room["roomId"].clone());
    }
    given.sort_by_key(ToString::to_string);
    let known: Vec<_> = before.iter().map(|(room, _)| json!(room)).collect();
    assert_eq!(given, known);
    assert_eq!(home.pids("lost"), before, "nothing was started or ended");
    assert!(record.exists(), "the next start finds it");
    maestro.remove("lost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_two_starts_of_a_container_forgets_neither_its_end_nor_the_pace() {
    let home = Home::new();
    let maestro = home.start();
    let mut fleet = home.fleet_of("loops", 1, &["sh", "-c", "exit 7"]);
    fleet["spec"]["restartPolicy"] = "OnFailure".into();
    let (status, body) = maestro.post("/schedulers", &fleet).await;
    assert_eq!(status, 200, "{body}");
    let third = "exited with code 7, next start in 4 s";
    let waits = eventually(seconds(20), || async { maestro.logged().contains(third) });
    assert!(waits.await, "{}", maestro.logged());
    let (_, rooms) = maestro.get("/schedulers/loops/rooms").await;
    let room = rooms["rooms"][0]["id"].as_str().expect("its room");
    let record = home.room_folder("loops", room).join("room.json");
    // What is logged is written a moment later.
    let written = eventually(seconds(3), || async {
        let record = std::fs::read(&record).unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        record["restarted"][0]["in_a_row"] == 3
    });
    assert!(written.await, "{}", maestro.logged());
    maestro.kill();
    let maestro = home.start();
    let taken_up = eventually(seconds(3), || async {
        let (_, list) = maestro.get("/schedulers/loops/rooms/summary").await;
        list["roomsRestarting"] == 1
    });
    assert!(taken_up.await, "it still waits: {}", maestro.logged());
    let fourth = "exited with code 7, next start in 8 s";
    let waits = eventually(seconds(15), || async { maestro.logged().contains(fourth) });
    assert!(waits.await, "{}", maestro.logged());
    // The third failure is not forgotten either, unless it was logged just before the kill.
    for forgotten in ["next start in 1 s", "exit code unknown"] {
        assert!(
            !maestro.logged().contains(forgotten),
            "{}",
            maestro.logged()
        );
    }
    maestro.remove("loops").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_a_stop_ends_after_the_next_start() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("under", 1)).await;
    let long = maestro.test_operation("under", 600).await;
    let active = eventually(seconds(10), || async {
        !maestro.operations("under", "active").await.is_empty()
    });
    assert!(active.await);
    let many = maestro
        .post("/schedulers/under/add-rooms", &json!({"amount": 15}))
        .await;
    let many = support::Maestro::id(&many);
    assert!(maestro.stop().success());

    let maestro = home.start();
    let long = maestro.ended("under", &long).await;
    assert_eq!(long["status"], "error", "{}", history(&long));
    let many = maestro.ended("under", &many).await;
    assert_eq!(many["status"], "finished", "{}", history(&many));
    maestro.wait_ready("under", 16).await;
    assert_eq!(home.pids("under").len(), 16);
    maestro.remove("under").await;
    assert!(home.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addition_that_is_killed_half_way_makes_each_room_once() {
    let home = Home::new();
    let batch = [("MAESTRO_OPERATIONS_ROOMS_ADD_BATCHSIZE", "2")];
    let maestro = home.start_with(&batch);
    maestro.bring_up(&home.fleet("half", 1)).await;
    let many = maestro
        .post("/schedulers/half/add-rooms", &json!({"amount": 20}))
        .await;
    let many = support::Maestro::id(&many);
    let begun = eventually(seconds(20), || async { home.pids("half").len() >= 5 });
    assert!(begun.await);
    maestro.kill();
    let survivors = home.pids("half");
    let maestro = home.start_with(&batch);
    let many = maestro.ended("half", &many).await;
    assert_eq!(many["status"], "finished", "{}", history(&many));
    maestro.wait_ready("half", 21).await;
    let now = home.pids("half");
    assert_eq!(now.len(), 21);
    assert!(survivors.iter().all(|room| now.contains(room)));
    maestro.remove("half").await;
    assert!(home.processes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_killed_half_way_is_completed() {
    let home = Home::new();
    let maestro = home.start();
    let command = [
        "maestro",
        "room",
        "--ping-interval",
        "300ms",
        "--ignore-term",
    ];
    maestro.bring_up(&home.fleet_of("del", 4, &command)).await;
    let answer = maestro.delete("/schedulers/del").await;
    let deletion = support::Maestro::id(&answer);
    maestro.kill();
    let maestro = home.start();
    let deletion = maestro.ended("del", &deletion).await;
    assert_eq!(deletion["status"], "finished", "{}", history(&deletion));
    assert_eq!(maestro.get("/schedulers/del").await.0, 404);
    assert!(home.processes().is_empty());
    assert!(!home.path().join("rooms/del").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_folder_is_told_who_has_it() {
    let home = Home::new();
    let maestro = home.start();
    let refused = support::Maestro::try_start(
        home.path(),
        &[
            ("MAESTRO_API_PORT", "0"),
            ("MAESTRO_ROOMSAPI_PORT", "0"),
            ("MAESTRO_INTERNALAPI_PORT", "0"),
        ],
    );
    let said = refused.err().expect("it is refused");
    assert!(
        said.contains(&format!("in use by process {}", maestro.pid())),
        "{said}"
    );
    assert!(said.contains("--data-dir"), "{said}");
    // The first server is not affected.
    assert_eq!(maestro.get("/schedulers").await.0, 200);
}

#[test]
fn a_port_that_is_taken_for_a_moment_keeps_nobody_from_starting() {
    let home = Home::new();
    let ports = home.environment();
    let (_, port) = ports
        .iter()
        .find(|(name, _)| name == "MAESTRO_API_PORT")
        .unwrap();
    let taken = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let mut child = std::process::Command::new(support::BINARY)
        .args(["start", "--data-dir"])
        .arg(home.path())
        .env("MAESTRO_GRPC_PORT", "0")
        .envs(ports.iter().map(|(k, v)| (k, v)))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    // The last message before it listens.
    let chosen = lines.find(|line| {
        line.as_ref()
            .is_ok_and(|l| l.contains("store and runtime chosen"))
    });
    drop(taken);
    let ready = lines.find(|line| line.as_ref().is_ok_and(|l| l.contains("\"ready\"")));
    let _ = child.kill();
    child.wait().unwrap();
    assert!(chosen.is_some() && ready.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_a_taken_port_is_told_what_to_do() {
    let (home, other) = (Home::new(), Home::new());
    let maestro = home.start();
    let port = maestro.management.rsplit(':').next().unwrap().to_owned();
    let refused = other.try_start(&[("MAESTRO_API_PORT", &port)]);
    let said = refused.err().expect("it is refused");
    assert!(
        said.contains(&port) && said.contains("MAESTRO_API_PORT"),
        "{said}"
    );
    assert!(
        !other.path().join("maestro.redb").exists(),
        "it made nothing"
    );
}
