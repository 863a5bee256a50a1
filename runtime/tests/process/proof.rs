//! Which processes are recognized as rooms: old layouts, programs that hide their marks, and records that name foreign
//! processes.

use crate::site::{Site, eventually};
use maestro_core::{domain::*, ports::*};
use maestro_testkit::contract::runtime::{Stage, scheduler};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A process that leads a session, in `folder`, as the version before spawned containers;
/// `log` is its output, `variables` all of its environment.
struct Session(Child);

impl Session {
    fn start(folder: &Path, log: Option<&Path>, variables: &[(&str, &str)]) -> Self {
        fs::create_dir_all(folder.join("tmp")).unwrap();
        let output = || match log {
            Some(log) => Stdio::from(
                fs::File::options()
                    .append(true)
                    .create(true)
                    .open(log)
                    .unwrap(),
            ),
            None => Stdio::null(),
        };
        // It becomes the program, since it leads no process group: the pid stays.
        let child = Command::new("/usr/bin/setsid")
            .args(["/bin/sh", "-c", "echo here; exec sleep 600"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Number and start time, once it leads its session.
    async fn process(&self) -> Value {
        let pid = self.pid();
        let start_ticks = eventually("its session", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let fields: Vec<_> = stat
                .rsplit_once(')')
                .unwrap()
                .1
                .split_whitespace()
                .collect();
            let leads = fields[3] == pid.to_string();
            leads.then(|| fields[19].parse::<u64>().unwrap())
        })
        .await;
        json!({"container": "game", "pid": pid, "start_ticks": start_ticks})
    }

    /// Not reaped here, since that is its supervisor's.
    fn runs(&mut self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let state = |stat: String| {
            stat.rsplit_once(") ")
                .map(|(_, rest)| rest.starts_with('Z'))
        };
        stat.is_ok_and(|stat| state(stat) == Some(false))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fleet on a runtime that is closed, and the record of a room of it that has ended.
async fn fleet(site: &Site) -> (Scheduler, Value) {
    let mut stage = site.stage(scheduler("fleet", "exec sleep 600")).await;
    stage.create("fleet-x").await.unwrap();
    stage.terminate("fleet-x", None).await.unwrap();
    stage.until_gone(&"fleet-x".into()).await;
    let fleet = stage.scheduler.clone();
    drop(stage);
    site.close().await;
    (fleet, site.record("fleet", "fleet-x"))
}

fn write(site: &Site, room: &str, format: u32, process: &Value, like: &Value) {
    let mut record = like.clone();
    record["room"] = room.into();
    record["format"] = format.into();
    record["phase"] = "running".into();
    record["ended_at"] = Value::Null;
    record["end"] = Value::Null;
    record["processes"] = json!([process]);
    let folder = site.room_folder("fleet", room);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("room.json"), record.to_string()).unwrap();
}

fn marks<'a>(site: &'a Site, room: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("MAESTRO_INSTALLATION", site.settings.installation.as_str()),
        ("MAESTRO_SCHEDULER_NAME", "fleet"),
        ("MAESTRO_ROOM_ID", room),
        ("MAESTRO_CONTAINER", "game"),
    ]
}

async fn rooms_of(stage: &mut Stage) -> Vec<String> {
    let listed = stage.listed().await;
    let mut rooms: Vec<_> = listed.iter().map(|i| i.room.as_str().to_owned()).collect();
    rooms.sort();
    rooms
}

async fn ended(session: &mut Session) {
    eventually("its end", || (!session.runs()).then_some(())).await;
}

#[tokio::test]
async fn rooms_of_the_layout_before_are_adopted_where_they_are() {
    let site = Site::new();
    let (fleet, like) = fleet(&site).await;
    let (marked, titled, bare) = ("fleet-marked", "fleet-titled", "fleet-bare");
    let mut sessions = Vec::new();
    for (room, variables) in [
        (marked, marks(&site, marked)),
        // It overwrote its environment with its title: its log shows whose it is.
        (titled, vec![("TITLE", "over it all")]),
        (bare, marks(&site, bare)),
    ] {
        let folder = site.room_folder("fleet", room);
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join("game.log");
        let session = Session::start(&folder, Some(&log), &variables);
        write(&site, room, 1, &session.process().await, &like);
        eventually("its first word", || {
            let said = fs::read_to_string(&log).ok()?;
            said.contains("here").then_some(())
        })
        .await;
        sessions.push(session);
    }
    fs::remove_file(site.room_folder("fleet", bare).join("room.json")).unwrap();
    // Twice: the second start must understand what the first one wrote.
    for _ in 0..2 {
        site.open();
        let mut stage = Stage::resume(&site, fleet.clone()).await;
        assert_eq!(rooms_of(&mut stage).await, [bare, marked, titled]);
        let name = stage.scheduler.name.clone();
        let tail = stage.runtime.log_tail(&name, &titled.into(), 10).await;
        assert_eq!(tail.unwrap(), ["here"]);
        drop(stage);
        site.close().await;
        assert!(sessions.iter_mut().all(Session::runs));
        assert!(
            !site.work("fleet", marked).exists(),
            "it works where it did"
        );
    }
    site.open();
    let mut stage = Stage::resume(&site, fleet).await;
    // A watch begins when it is first asked.
    assert!(matches!(stage.next().await, RuntimeEvent::Listed(_)));
    for (room, session) in [marked, titled, bare].iter().zip(&mut sessions) {
        stage.terminate(room, None).await.unwrap();
        stage.until_gone(&RoomId::from(*room)).await;
        ended(session).await;
    }
    let layout = |room| site.record("fleet", room)["format"].clone();
    assert_eq!([layout(marked), layout(titled), layout(bare)], [1, 1, 1]);
    stage.strike().await;
}

#[tokio::test]
async fn a_record_where_the_room_worked_proves_nothing_by_itself() {
    let site = Site::new();
    let (fleet, like) = fleet(&site).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (own, other) = ("fleet-forged", "fleet-other");
    let log = site.room_folder("fleet", other).join("game.log");
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    // Somebody's own session, and one that shows that it is of another room.
    let mut foreign = Session::start(elsewhere.path(), None, &[]);
    let mut marked = Session::start(elsewhere.path(), Some(&log), &marks(&site, "fleet-third"));
    write(&site, own, 1, &foreign.process().await, &like);
    write(&site, other, 1, &marked.process().await, &like);
    // Not even where the record is ours.
    write(&site, "fleet-apart", 2, &marked.process().await, &like);
    site.open();
    let mut stage = Stage::resume(&site, fleet).await;
    assert_eq!(
        rooms_of(&mut stage).await,
        ["fleet-third"],
        "a stray is known by its marks"
    );
    for room in [own, other, "fleet-apart"] {
        let order = stage.terminate(room, None).await;
        assert!(matches!(order, Err(RuntimeError::NotFound)), "{order:?}");
    }
    assert!(matches!(stage.next().await, RuntimeEvent::Listed(_)));
    stage.terminate("fleet-third", None).await.unwrap();
    stage.until_gone(&"fleet-third".into()).await;
    ended(&mut marked).await;
    assert!(foreign.runs(), "somebody's own session lives");
    stage.strike().await;
    assert!(foreign.runs());
}

#[tokio::test]
async fn a_room_that_hides_its_environment_is_adopted_by_its_record() {
    let site = Site::new();
    let script = "exec env -i PATH=/usr/bin:/bin sleep 600";
    let stage = site.stage(scheduler("fleet", script)).await;
    let created = stage.create("fleet-a").await.unwrap();
    let pid = site.pid("fleet", "fleet-a") as i32;
    let hidden = eventually("it hides", || {
        let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
        (environ == b"PATH=/usr/bin:/bin\0").then_some(true)
    });
    assert!(hidden.await);
    let fleet = stage.scheduler.clone();
    drop(stage);
    site.close().await;
    site.open();
    let mut stage = Stage::resume(&site, fleet).await;
    let listed = stage.listed().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].uid, created.uid);
    assert_eq!(listed[0].status, InstanceStatus::Ready);
    assert!(matches!(stage.next().await, RuntimeEvent::Listed(_)));
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it was ended");
    stage.strike().await;
}
