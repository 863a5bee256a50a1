//! Whatever rooms leave in their folders causes no harm, and folders of the previous version are
//! taken over with their running rooms.

mod support;

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, open, openat};
use rustix::process::umask;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use support::{Home, Maestro, eventually, history, seconds, signal, variables_of};

/// More than a stack can follow, and deeper than any path is long.
const DEPTH: usize = 60_000;
/// More than the I/O runtime has threads for.
const READS: usize = 660;

fn nest(folder: &Path, depth: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = open(folder, flags, Mode::empty()).expect("a folder");
    for _ in 0..depth {
        mkdirat(&at, "d", Mode::RWXU).expect("a folder in it");
        at = openat(&at, "d", flags, Mode::empty()).expect("that folder");
    }
}

fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// The only room of a scheduler: its name and process.
fn only(home: &Home, scheduler: &str) -> (String, i32) {
    let pids = home.pids(scheduler);
    assert_eq!(pids.len(), 1, "{pids:?}");
    pids[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_and_endless_trees_stop_neither_creations_nor_the_server() {
    let home = Home::in_memory();
    let maestro = home.start();
    maestro.bring_up(&home.fleet("traps", 1)).await;
    let (room, _) = only(&home, "traps");
    let folder = home.room_folder("traps", &room);
    pipe(&folder.join("game.log"));
    pipe(&folder.join("room.json.new"));
    nest(&folder.join("work"), DEPTH);

    let mut reads = tokio::task::JoinSet::new();
    let url = format!("{}/schedulers/traps/rooms/{room}/log", maestro.management);
    for _ in 0..READS {
        let ask = maestro.http.get(&url).send();
        reads.spawn(async move { ask.await.expect("an answer").status().as_u16() });
    }
    let answers = reads.join_all().await;
    assert!(answers.iter().all(|status| *status >= 500), "{answers:?}");

    let secret = home.path().join("secrets/shop/token");
    fs::create_dir_all(secret.parent().expect("a folder")).expect("a folder");
    pipe(&secret);
    let mut needy = home.fleet("needy", 1);
    let from = json!({"secretKeyRef": {"name": "shop", "key": "token"}});
    needy["spec"]["containers"][0]["environment"] = json!([{"name": "TOKEN", "valueFrom": from}]);
    let (status, body) = maestro.post("/schedulers", &needy).await;
    assert_eq!(status, 200, "{body}");
    let told = eventually(seconds(20), || async {
        let ended = maestro.operations("needy", "final").await;
        ended.iter().any(|o| history(o).contains("it is a pipe"))
            || maestro.logged().contains("it is a pipe")
    });
    assert!(told.await, "{}", maestro.logged());

    // After all this, rooms are created and ended as usual.
    maestro.bring_up(&home.fleet("after", 1)).await;
    maestro.remove("traps").await;
    assert!(!home.path().join("rooms/traps").exists());
    maestro.remove("needy").await;
    let begun = Instant::now();
    let trash = home.path().join("rooms/.trash");
    let removed = eventually(seconds(60), || async { is_empty(&trash) }).await;
    assert!(removed, "{}", maestro.logged());
    println!("the trash was emptied in {:?}", begun.elapsed());

    // The next start deletes what a kill left in the trash.
    maestro.kill();
    fs::create_dir(trash.join("left")).expect("a folder");
    nest(&trash.join("left"), DEPTH);
    let maestro = home.start();
    maestro.wait_ready("after", 1).await;
    assert!(eventually(seconds(60), || async { is_empty(&trash) }).await);
    let (room, _) = only(&home, "after");
    pipe(&home.room_folder("after", &room).join("game.log"));
    let path = format!("/schedulers/after/rooms/{room}/log");
    let (status, body) = maestro.get(&path).await;
    assert!(status >= 500 && body.to_string().contains("pipe"), "{body}");
    maestro.remove("after").await;
    let begun = Instant::now();
    assert!(maestro.stop().success());
    assert!(
        begun.elapsed() < seconds(15),
        "TERM took {:?}",
        begun.elapsed()
    );
}

/// A process that leads its own session, as the previous version started containers.
struct Session(Child);

impl Session {
    fn start(folder: &Path, log: &Path, variables: &[(String, String)]) -> Self {
        let log = fs::File::options().append(true).create(true).open(log);
        let log = log.expect("a log");
        // `setsid` executes the program in place, because it leads no process group: the pid stays
        // the same.
        let child = Command::new("setsid")
            .args(["/bin/sh", "-c", "echo here; exec sleep 600"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a copy"))
            .stderr(log)
            .spawn();
        Self(child.expect("setsid of util-linux"))
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// The process in the form of a room's record, once it leads its session.
    async fn process(&self) -> Value {
        let pid = self.pid();
        let stat = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
            let (_, fields) = stat.rsplit_once(')').expect("a name");
            let fields = fields.split_whitespace().map(str::to_owned);
            fields.collect::<Vec<_>>()
        };
        let leads = eventually(seconds(10), || async { stat()[3] == pid.to_string() });
        assert!(leads.await);
        let start_ticks: u64 = stat()[19].parse().expect("a number");
        json!({"container": "game", "pid": pid, "start_ticks": start_ticks})
    }

    fn runs(&mut self) -> bool {
        self.0.try_wait().expect("our child").is_none()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_record(folder: &Path) -> Value {
    let text = fs::read(folder.join("room.json")).expect("a record");
    serde_json::from_slice(&text).expect("JSON")
}

/// Turns a room into one that the previous version started: its process runs in the folder of its
/// record and its log.
async fn as_before(home: &Home, scheduler: &str, room: &str, pid: i32) -> Session {
    let folder = home.room_folder(scheduler, room);
    let mut variables = variables_of(pid).expect("its environment");
    let at = |path: PathBuf| path.display().to_string();
    variables.insert("HOME".into(), at(folder.clone()));
    variables.insert("TMPDIR".into(), at(folder.join("tmp")));
    signal(pid, rustix::process::Signal::KILL);
    let gone = eventually(seconds(10), || async { home.pids(scheduler).is_empty() });
    assert!(gone.await);
    let mut record = read_record(&folder);
    fs::remove_dir_all(folder.join("work")).expect("its folder");
    fs::create_dir(folder.join("tmp")).expect("a folder");
    let variables: Vec<_> = variables.into_iter().collect();
    let session = Session::start(&folder, &folder.join("game.log"), &variables);
    record["format"] = 1.into();
    record["processes"] = json!([session.process().await]);
    fs::write(folder.join("room.json"), record.to_string()).expect("a record");
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_the_layout_before_is_taken_over_and_a_forged_record_takes_nothing() {
    let home = Home::new();
    let maestro = home.start();
    let (status, body) = maestro
        .post("/schedulers", &home.mute_fleet("old", 1))
        .await;
    assert_eq!(status, 200, "{body}");
    let started = eventually(seconds(20), || async { home.pids("old").len() == 1 });
    assert!(started.await, "{}", maestro.logged());
    let (room, pid) = only(&home, "old");
    let ready = json!({"status": "ready", "runningMatches": 0});
    let ping = || async { maestro.ping("old", &room, &ready).await.0 == 200 };
    assert!(eventually(seconds(10), ping).await);
    maestro.wait_ready("old", 1).await;
    assert!(maestro.stop().success());

    let mut session = as_before(&home, "old", &room, pid).await;
    // A foreign program that a forged record in a room's old place claims.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut foreign = Session::start(elsewhere.path(), Path::new("/dev/null"), &[]);
    let forged = home.room_folder("old", "old-forged");
    fs::create_dir_all(&forged).expect("a folder");
    let mut record = read_record(&home.room_folder("old", &room));
    record["room"] = "old-forged".into();
    record["processes"] = json!([foreign.process().await]);
    fs::write(forged.join("room.json"), record.to_string()).expect("a record");

    // Twice, because the second start reads what the first one wrote.
    for _ in 0..2 {
        let maestro = home.start();
        maestro.wait_ready("old", 1).await;
        assert_eq!(home.pids("old"), [(room.clone(), session.pid())]);
        assert!(session.runs() && foreign.runs());
        let path = format!("/schedulers/old/rooms/{room}/log");
        let shown = eventually(seconds(10), || async {
            maestro.get(&path).await.1.to_string().contains("here")
        });
        assert!(shown.await, "{:?}", maestro.get(&path).await);
        assert!(maestro.logged().contains("left alone"), "it is told");
        maestro.kill();
        // The forged room was recorded as ended; the next start must see it as running again.
        fs::write(forged.join("room.json"), record.to_string()).expect("a record");
    }
    let maestro = home.start();
    maestro.wait_ready("old", 1).await;
    maestro.remove("old").await;
    assert!(
        eventually(seconds(10), || {
            let ended = !session.runs();
            async move { ended }
        })
        .await
    );
    assert!(foreign.runs(), "somebody's own program lives");
    assert!(maestro.stop().success());
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    metadata.permissions().mode() & 0o7777
}

fn warns(maestro: &Maestro) -> bool {
    maestro.logged().contains("can be read by every user")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_the_owners_alone_and_a_folder_is_closed_only_when_it_is_ours() {
    let home = Home::below("data");
    let set = |bits| {
        let wanted = fs::Permissions::from_mode(bits);
        fs::set_permissions(home.path(), wanted).expect("our folder");
    };
    set(0o755);
    // The loosest of umasks, for this process and the one that it starts.
    let before = umask(Mode::empty());
    let maestro = home.start();
    umask(before);
    assert_eq!(mode(home.path()), 0o755, "it was there, and has no store");
    assert!(warns(&maestro), "{}", maestro.logged());
    maestro.bring_up(&home.fleet("closed", 1)).await;
    let (room, _) = only(&home, "closed");
    let (status, body) = maestro
        .internal("POST", "/backup", Some(&json!({"name": "one"})))
        .await;
    assert_eq!(status, 200, "{body}");
    let at = |path: &str| home.path().join(path);
    let folder = home.room_folder("closed", &room);
    for path in [&at("rooms"), &at("backups"), &folder, &folder.join("work")] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
    }
    let own = [at("maestro.redb"), at("LOCK"), at("rooms/.lock")];
    let made = [
        at("backups/one.redb"),
        folder.join("room.json"),
        folder.join("game.log"),
    ];
    for path in own.iter().chain(&made) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert!(maestro.stop().success());

    // Files that an earlier version left readable get private modes, like the folder.
    fs::set_permissions(&own[0], fs::Permissions::from_mode(0o644)).expect("our file");
    let maestro = home.start();
    assert_eq!([mode(home.path()), mode(&own[0])], [0o700, 0o600]);
    maestro.remove("closed").await;
    assert!(maestro.stop().success());

    // A folder that everybody may use keeps its mode, with or without a store in it.
    set(0o1777);
    let maestro = home.start();
    assert_eq!(mode(home.path()), 0o1777);
    assert!(warns(&maestro), "{}", maestro.logged());
    assert!(maestro.stop().success());
}
