//! What a room is started with, and what is refused.

use crate::site::{Site, eventually};
use maestro_core::{domain::*, ports::*};
use maestro_testkit::contract::runtime::{RUNS, scheduler};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn variable(name: &str, value: &str) -> Environment {
    Environment {
        name: name.into(),
        value: value.into(),
        value_from: None,
    }
}

fn field(name: &str, path: &str) -> Environment {
    Environment {
        name: name.into(),
        value: String::new(),
        value_from: Some(ValueFrom {
            field_ref: Some(FieldRef {
                field_path: path.into(),
            }),
            secret_key_ref: None,
        }),
    }
}

fn secret(variable: &str, name: &str, key: &str) -> Environment {
    Environment {
        name: variable.into(),
        value: String::new(),
        value_from: Some(ValueFrom {
            field_ref: None,
            secret_key_ref: Some(SecretKeyRef {
                name: name.into(),
                key: key.into(),
            }),
        }),
    }
}

fn invalid<T: std::fmt::Debug>(result: Result<T, RuntimeError>) -> String {
    match result {
        Err(RuntimeError::Invalid(cause)) => cause.text().to_owned(),
        other => panic!("not refused as invalid: {other:?}"),
    }
}

#[tokio::test]
async fn every_container_has_the_configuration_of_its_version() {
    let site = Site::new();
    let command = format!("env > seen-$MAESTRO_CONTAINER; echo >> seen-$MAESTRO_CONTAINER; {RUNS}");
    let mut fleet = scheduler("fleet", &command);
    fleet.spec.containers[0].environment = vec![variable("MODE", "of the spec")];
    let mut second = fleet.spec.containers[0].clone();
    (second.name, second.ports) = ("second".into(), Vec::new());
    second.environment.clear();
    fleet.spec.containers.push(second);
    let stage = site.stage(fleet).await;
    let mut order = stage.order("fleet-a").await.unwrap();
    let pairs = [
        ("MODE", "of the version"),
        ("MOTD", "two\nlines = 'ä'"),
        ("MAESTRO_ROOM_ID", "forged"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    order.config = ConfigPairs::new(pairs).unwrap();
    stage.runtime.create(&order).await.unwrap();
    for (container, mode) in [("game", "of the spec"), ("second", "of the version")] {
        let seen = site
            .note("fleet", "fleet-a", &format!("seen-{container}"))
            .await;
        assert!(seen.contains(&format!("MODE={mode}\n")), "{seen}");
        assert!(seen.contains("MOTD=two\nlines = 'ä'\n"), "{seen}");
        assert!(seen.contains("MAESTRO_ROOM_ID=fleet-a\n"), "{seen}");
    }
    stage.strike().await;
}

#[tokio::test]
async fn the_environment_is_what_the_contract_says_and_nothing_of_ours() {
    let site = Site::with(|settings| {
        settings.own_binary = Some("/opt/fleet/maestro".into());
        settings.rooms_api_url = "http://127.0.0.1:1234".into();
        settings.host = "games.example".into();
    });
    let secrets = site.folder.path().join("secrets/shop");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("token"), "hush\n").unwrap();
    let mut fleet = scheduler("fleet", &format!("env > seen; echo >> seen; {RUNS}"));
    fleet.spec.containers[0].environment = vec![
        variable("MODE", "fast = true"),
        variable("MAESTRO_ROOM_ID", "forged"),
        field("NAME", "metadata.name"),
        field("SPACE", "metadata.namespace"),
        field("HOST_IP", "status.hostIP"),
        field("POD_IP", "status.podIP"),
        secret("TOKEN", "shop", "token"),
    ];
    let stage = site.stage(fleet).await;
    let order = stage.order("fleet-a").await.unwrap();
    stage.runtime.create(&order).await.unwrap();
    site.note("fleet", "fleet-a", "seen").await;
    let pid = site.pid("fleet", "fleet-a");
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut seen: Vec<_> = environ
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    seen.sort();
    let home = site.work("fleet", "fleet-a").canonicalize().unwrap();
    let home = home.display();
    let mut wanted = vec![
        "PATH=/opt/fleet:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        format!("HOME={home}"),
        format!("TMPDIR={home}/tmp"),
        "LANG=C.UTF-8".into(),
        "MODE=fast = true".into(),
        "NAME=fleet-a".into(),
        "SPACE=fleet".into(),
        "HOST_IP=games.example".into(),
        "POD_IP=games.example".into(),
        "TOKEN=hush".into(),
        "MAESTRO_SCHEDULER_NAME=fleet".into(),
        "MAESTRO_ROOM_ID=fleet-a".into(),
        "MAESTRO_ROOMS_API_URL=http://127.0.0.1:1234".into(),
        format!("MAESTRO_INSTALLATION={}", site.settings.installation),
        "MAESTRO_CONTAINER=game".into(),
        format!("MAESTRO_PORT={}", order.host_ports[0]),
        format!("MAESTRO_PORT_GAME={}", order.host_ports[0]),
        format!("MAESTRO_PORT_QUERY={}", order.host_ports[1]),
    ];
    wanted.sort();
    assert_eq!(seen, wanted);
    stage.strike().await;
}

#[tokio::test]
async fn no_descriptor_and_no_terminal_of_ours_is_in_a_room() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", "exec sleep 600")).await;
    stage.create("fleet-a").await.unwrap();
    let pid = site.pid("fleet", "fleet-a");
    let name = format!("/proc/{pid}/comm");
    eventually("the shell has gone", || {
        (fs::read_to_string(&name).ok()? == "sleep\n").then_some(())
    })
    .await;
    let mut names = vec![];
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let entry = entry.unwrap();
        let target = fs::read_link(entry.path()).unwrap();
        names.push((
            entry.file_name().into_string().unwrap(),
            target.display().to_string(),
        ));
    }
    names.sort();
    let log = site.room_folder("fleet", "fleet-a").join("game.log");
    let log = log.canonicalize().unwrap().display().to_string();
    assert!(names.contains(&("0".into(), "/dev/null".into())));
    assert!(names.contains(&("1".into(), log.clone())) && names.contains(&("2".into(), log)));
    assert_eq!(names.len(), 3, "{names:?}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(
        status.contains("SigBlk:\t0000000000000000"),
        "no signal is blocked"
    );
    stage.strike().await;
}

#[tokio::test]
async fn a_command_that_cannot_run_is_refused_before_anything_starts() {
    let site = Site::new();
    let plain = site.folder.path().join("plain.txt");
    fs::write(&plain, "not a program").unwrap();
    let plain = plain.display().to_string();
    for (command, words) in [
        (
            vec![],
            "container \"game\": no command; process mode runs commands, images (none) need Kubernetes",
        ),
        (
            vec!["no-such-command-here"],
            "container \"game\": command \"no-such-command-here\" was not found in PATH; process mode runs commands, images need Kubernetes",
        ),
        (vec!["/no/such/file"], "does not exist"),
        (vec!["./server"], "use an absolute path"),
        (vec![plain.as_str()], "is not executable; try chmod +x"),
    ] {
        let mut fleet = scheduler("fleet", RUNS);
        fleet.spec.containers[0].command = command.iter().map(|word| word.to_string()).collect();
        let stage = site.stage(fleet).await;
        let text = invalid(stage.create("fleet-a").await);
        assert!(text.contains(words), "{text}");
        assert!(!site.room_folder("fleet", "fleet-a").exists());
        stage.runtime.release_ports(&"fleet-a".into()).await;
        stage.strike().await;
    }
}

/// The second program is found, and cannot run: its interpreter is not there. By then the first has started others.
#[tokio::test]
async fn of_a_room_of_which_only_a_part_starts_nothing_is_left() {
    let site = Site::new();
    let broken = site.folder.path().join("broken");
    fs::write(&broken, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let forks = "sleep 7777 & sleep 7777 & sleep 7777 & wait";
    let mut fleet = scheduler("fleet", RUNS);
    let mut second = fleet.spec.containers[0].clone();
    fleet.spec.containers[0].command = vec!["/bin/sh".into(), "-c".into(), forks.into()];
    second.name = "second".into();
    second.command = vec![broken.display().to_string()];
    second.ports.clear();
    fleet.spec.containers.push(second);
    let stage = site.stage(fleet).await;
    for n in 0..8 {
        let room = format!("fleet-{n}");
        stage.create(&room).await.unwrap_err();
        assert_eq!(site.processes(), [], "attempt {n}");
        assert!(!site.room_folder("fleet", &room).exists());
        stage.runtime.release_ports(&room.as_str().into()).await;
    }
    stage.strike().await;
}

#[tokio::test]
async fn a_program_in_the_path_is_found_as_the_room_finds_it() {
    let site = Site::new();
    let mut fleet = scheduler("fleet", RUNS);
    fleet.spec.containers[0].command[0] = "sh".into();
    let stage = site.stage(fleet).await;
    stage.create("fleet-a").await.unwrap();
    stage.strike().await;
}

#[tokio::test]
async fn secrets_that_are_missing_or_lead_elsewhere_are_refused() {
    let site = Site::new();
    fs::write(site.folder.path().join("outside"), "x").unwrap();
    for (name, key, words) in [
        ("shop", "token", "create the file"),
        ("..", "outside", "not a valid name"),
        ("shop", "../../outside", "not a valid name"),
        ("", "token", "not a valid name"),
    ] {
        let mut fleet = scheduler("fleet", RUNS);
        fleet.spec.containers[0].environment = vec![secret("TOKEN", name, key)];
        let stage = site.stage(fleet).await;
        let text = invalid(stage.create("fleet-a").await);
        assert!(text.contains(words), "{text}");
        stage.strike().await;
    }
}

#[tokio::test]
async fn what_processes_cannot_have_is_refused_with_words() {
    let site = Site::new();
    type Change = fn(&mut Scheduler);
    let cases: [(Change, &str); 5] = [
        (
            |s| s.spec.containers[0].environment = vec![field("X", "spec.nodeName")],
            "known are metadata.name",
        ),
        (
            |s| s.spec.containers[0].requests.cpu = "1 core".into(),
            "not a quantity",
        ),
        (
            |s| s.spec.containers[0].requests.cpu = "2".into(),
            "less than or equal",
        ),
        (
            |s| s.spec.containers[0].environment = vec![variable("A=B", "c")],
            "not a name of a variable",
        ),
        (
            |s| s.spec.containers[0].name = "../up".into(),
            "a name of its own",
        ),
    ];
    for (change, words) in cases {
        let mut fleet = scheduler("fleet", RUNS);
        change(&mut fleet);
        let stage = site.stage(fleet).await;
        let text = invalid(stage.create("fleet-a").await);
        assert!(text.contains(words), "{text}");
        stage.strike().await;
    }
    let mut sctp = scheduler("fleet", RUNS);
    sctp.spec.containers[0].ports[0].protocol = "sctp".into();
    let stage = site.stage(sctp).await;
    assert!(invalid(stage.create("fleet-a").await).contains("tcp or udp"));
    stage.strike().await;
}

#[tokio::test]
async fn names_that_leave_the_folder_are_refused() {
    let site = Site::new();
    let stage = site.stage(scheduler("fleet", RUNS)).await;
    invalid(stage.create("../../evil").await);
    let escape = SchedulerName::from("../..");
    invalid(stage.runtime.remove(&escape, None).await);
    stage.runtime.release_ports(&"../../evil".into()).await;
    stage.strike().await;
}

#[tokio::test]
async fn a_used_up_port_range_is_said_with_numbers_and_frees_itself() {
    let site = Site::new();
    let mut fleet = scheduler("fleet", RUNS);
    // Two numbers that are free now, for two ports of one room.
    let start = (30_100..31_000)
        .find(|port| (*port..port + 2).all(|p| std::net::UdpSocket::bind(("0.0.0.0", p)).is_ok()))
        .unwrap();
    fleet.port_range = Some(PortRange {
        start: start.into(),
        end: i32::from(start) + 1,
    });
    let mut stage = site.stage(fleet).await;
    stage.create("fleet-a").await.unwrap();
    let Err(RuntimeError::Exhausted(text)) = stage.create("fleet-b").await else {
        panic!("the range is used up");
    };
    assert!(
        text.text().starts_with(&format!(
            "port range {start}-{} of scheduler fleet has 2 ports, all in use",
            start + 1
        )),
        "{text}"
    );
    stage.terminate("fleet-a", None).await.unwrap();
    stage.until_gone(&"fleet-a".into()).await;
    stage.create("fleet-b").await.unwrap();
    stage.strike().await;
}
