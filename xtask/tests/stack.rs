//! The local stack as a person starts it, in a network of its own, because its ports are the usual ones.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(120);

/// Starts the stack, asks it from inside of its network, and ends it.
const SCRIPT: &str = r#"
ip link set lo up
"$1" stack --folder "$2" --program "$3" &
stack=$!
until curl --silent --fail http://127.0.0.1:8080/schedulers/info | grep -q '"roomsReady":3'; do
    kill -0 $stack 2>/dev/null || exit 1
    sleep 0.2
done
echo "ROOMS READY"
curl --silent --fail --request POST http://127.0.0.1:8070/scheduler/demo/rooms/allocate
until curl --silent --fail http://127.0.0.1:8091/metrics | grep 'maestro_worker_gru_ready{'; do sleep 0.2; done
kill -TERM $stack
wait $stack
echo "ENDED $?"
curl --silent http://127.0.0.1:8080/schedulers || echo "NOTHING LISTENS"
"#;

/// The program, which the tests of the workspace build first.
fn maestro() -> PathBuf {
    let xtask = Path::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.with_file_name("maestro")
}

fn can_have_a_network() -> bool {
    let tried = Command::new("unshare")
        .args(["--net", "ip", "link"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn the_stack_starts_without_docker() {
    let program = maestro();
    if !program.is_file() {
        return eprintln!(
            "SKIPPED: the program is not built: run the tests of the whole workspace"
        );
    }
    if !can_have_a_network() {
        return eprintln!("SKIPPED: no network can be made here; that takes root, unshare and ip");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = within(
        Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .args(["sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_xtask")])
            .arg(folder.path())
            .arg(program),
    );
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let expected = [
        "ROOMS READY",
        r#""success":true"#,
        r#"maestro_worker_gru_ready{game="demo",scheduler="demo"}"#,
        "ENDED 0",
        "NOTHING LISTENS",
    ];
    for text in expected {
        assert!(said.contains(text), "no {text:?} in\n{said}");
    }
}

fn within(command: &mut Command) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(WITHIN).is_err() {
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
        }
    });
    let started = Instant::now();
    child.stdin.take();
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    watch.join().unwrap();
    assert!(started.elapsed() < WITHIN, "it was ended");
    output
}
