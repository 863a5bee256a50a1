//! A bad data folder: torn, foreign, read-only or full.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use support::{Home, Maestro, Mounted, eventually, seconds, skip};

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_file_is_refused_and_left_alone() {
    let home = Home::new();
    let file = home.path().join("maestro.redb");
    fs::write(&file, "a love letter").unwrap();
    let said = home.try_start(&[]).err().expect("it is refused");
    assert!(
        said.contains("was not written by Maestro") && said.contains("--data-dir"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "a love letter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_use_is_told_before_any_port_is_tried() {
    let home = Home::new();
    let maestro = home.start();
    // The ports are in use too, but the error must blame the folder.
    let said = home.try_start(&[]).err().expect("it is refused");
    let holder = format!("in use by process {}", maestro.pid());
    assert!(
        said.contains(&holder) && !said.contains("cannot listen"),
        "{said}"
    );
    assert!(said.contains("--data-dir"), "{said}");
    assert_eq!(maestro.get("/schedulers").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_file_is_refused_with_what_to_do_and_works_again_when_it_is_whole() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("torn", 2)).await;
    let rooms = home.pids("torn");
    assert!(maestro.stop().success());
    let file = home.path().join("maestro.redb");
    let whole = fs::read(&file).unwrap();
    let middle = whole.len() / 3;
    let mut holed = whole.clone();
    for byte in &mut holed[middle..middle + 8192] {
        *byte ^= 0x5a;
    }
    let mut headless = whole.clone();
    headless[..512].fill(0);
    for (what, bytes) in [
        ("cut", &whole[..whole.len() / 2]),
        ("short", &whole[..100]),
        ("empty", &[]),
        ("headless", &headless),
    ] {
        fs::write(&file, bytes).unwrap();
        let said = home.try_start(&[]).err();
        let said = said.unwrap_or_else(|| panic!("{what}: it started"));
        assert!(said.contains("maestro.redb"), "{what}: {said}");
        assert!(
            ["put a copy", "move it away"]
                .iter()
                .any(|w| said.contains(w)),
            "{what}: {said}"
        );
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "{what}: it was changed");
    }
    // A hole outside the pages in use does no harm; any other is reported.
    fs::write(&file, &holed).unwrap();
    if let Err(said) = home.try_start(&[]) {
        assert!(said.contains("damaged"), "{said}");
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(home.pids("torn"), rooms, "rooms were left alone");
    let maestro = home.start();
    maestro.wait_ready("torn", 2).await;
    assert_eq!(home.pids("torn"), rooms);
    maestro.remove("torn").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_loses_no_room() {
    let home = Home::new();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("kept", 1)).await;
    assert!(maestro.stop().success());
    fs::remove_file(home.path().join("maestro.redb")).unwrap();
    let before = home.pids("kept");
    // A new store is another installation, which does not touch rooms that it does not know.
    let maestro = home.start();
    assert_eq!(maestro.get("/schedulers").await.1["schedulers"], json!([]));
    assert_eq!(home.pids("kept"), before);
    drop(maestro);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_is_refused_with_what_to_do() {
    let home = Home::new();
    let file = home.path().join("a-file");
    fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let said = Maestro::try_start(&folder, &[]).err();
        let said = said.expect("it is refused");
        assert!(
            said.contains("a-file") && said.contains("--data-dir"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_folder_is_refused_at_the_start() {
    let home = Home::below("data");
    let mounted = match Mounted::new(home.path(), "size=4m,ro") {
        Ok(mounted) => mounted,
        Err(why) => return skip(format!("nothing can be mounted here: {why}")),
    };
    let said = home.try_start(&[]).err().expect("it is refused");
    assert!(
        said.contains("Read-only file system") && said.contains("--data-dir"),
        "{said}"
    );
    assert!(mounted.remount("rw"));
    let maestro = home.start();
    assert_eq!(maestro.get("/schedulers").await.0, 200);
    assert!(maestro.stop().success());
}

/// Fills a small disk to the last byte.
fn fill(folder: &Path) -> std::path::PathBuf {
    use std::io::Write;
    let path = folder.join("ballast");
    let mut file = fs::File::create(&path).expect("a file");
    for size in [65_536, 4_096, 512, 1] {
        let bytes = vec![1_u8; size];
        while file.write_all(&bytes).is_ok() {}
    }
    path
}

async fn ping_each(maestro: &Maestro, home: &Home, scheduler: &str, status: &str) -> bool {
    for (room, _) in home.pids(scheduler) {
        let body = json!({"status": status, "runningMatches": 0});
        let (code, answer) = maestro.ping(scheduler, &room, &body).await;
        if (code, &answer) != (200, &json!({"success": true})) {
            eprintln!("a ping of {room}: {code} {answer}");
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_changes_and_nothing_else_and_is_survived() {
    let home = Home::below("data");
    let _mounted = match Mounted::new(home.path(), "size=16m") {
        Ok(mounted) => mounted,
        Err(why) => return skip(format!("nothing can be mounted here: {why}")),
    };
    let maestro = home.start();
    let (status, body) = maestro
        .post("/schedulers", &home.mute_fleet("full", 2))
        .await;
    assert_eq!(status, 200, "{body}");
    let there = eventually(seconds(20), || async {
        home.pids("full").len() == 2 && ping_each(&maestro, &home, "full", "ready").await
    });
    assert!(there.await);
    maestro.wait_ready("full", 2).await;
    let before = home.pids("full");

    let ballast = fill(home.path());
    let refused = eventually(seconds(60), || async {
        // A change that fits into the file's free pages may still be accepted.
        let metadata = json!({"note": "x".repeat(200_000)});
        let patch = json!({"forwarders": [{
            "name": "far", "enable": false, "type": "gRPC", "address": "far:80",
            "options": {"timeout": "1000", "metadata": metadata},
        }]});
        let (status, body) = maestro.patch("/schedulers/full", &patch).await;
        let is_conflict = body["code"] == 9;
        status >= 500 || (!is_conflict && status != 200)
    });
    assert!(
        refused.await,
        "a change was taken without a place to write it"
    );
    assert!(
        ping_each(&maestro, &home, "full", "ready").await,
        "pings go on"
    );
    for path in ["/schedulers", "/schedulers/full", "/schedulers/info"] {
        let (status, body) = maestro.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    assert_eq!(maestro.internal("GET", "/healthz", None).await.0, 200);
    assert_eq!(home.pids("full"), before, "rooms go on");

    fs::remove_file(ballast).unwrap();
    let works = eventually(seconds(60), || async {
        maestro
            .post("/schedulers", &home.mute_fleet("after", 0))
            .await
            .0
            == 200
    });
    assert!(works.await, "{}", maestro.logged());
    let ready = eventually(seconds(30), || async {
        ping_each(&maestro, &home, "full", "ready").await && maestro.ready_rooms("full").await >= 1
    });
    assert!(ready.await, "{}", maestro.info("full").await);
    for name in ["after", "full"] {
        let gone = eventually(seconds(60), || async {
            maestro.delete(&format!("/schedulers/{name}")).await;
            maestro.get(&format!("/schedulers/{name}")).await.0 == 404
        });
        assert!(gone.await, "{name}");
    }
    assert!(home.processes().is_empty(), "{:?}", home.processes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_a_kill_loses_nothing() {
    let home = Home::below("data");
    let _mounted = match Mounted::new(home.path(), "size=16m") {
        Ok(mounted) => mounted,
        Err(why) => return skip(format!("nothing can be mounted here: {why}")),
    };
    let maestro = home.start();
    maestro.bring_up(&home.fleet("held", 2)).await;
    let before = home.pids("held");
    let ballast = fill(home.path());
    maestro.kill();
    // Either it starts on the full disk, or it reports the cause; the rooms stay.
    match home.try_start(&[]) {
        Ok(maestro) => maestro.kill(),
        Err(said) => assert!(
            said.contains("No space left") && said.contains("make room"),
            "{said}"
        ),
    }
    assert_eq!(home.pids("held"), before);
    fs::remove_file(ballast).unwrap();
    let maestro = home.start();
    maestro.wait_ready("held", 2).await;
    assert_eq!(home.pids("held"), before);
    let answer: (u16, Value) = maestro
        .patch("/schedulers/held", &json!({"maxSurge": "2"}))
        .await;
    let done = maestro.done("held", answer).await;
    assert_eq!(done["status"], "finished");
    maestro.remove("held").await;
}
