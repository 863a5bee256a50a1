//! A sandbox for one test: a folder and free ports, with nothing left at the end.

use super::{BINARY, Maestro, fleet_of, seconds};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Instant;
use tempfile::TempDir;

/// Below the system's ephemeral ports.
const LISTEN: Blocks = Blocks {
    first: 10_000,
    size: 3,
    count: 3_000,
};
const ROOMS: Blocks = Blocks {
    first: 20_000,
    size: 200,
    count: 60,
};
static NEXT: AtomicU16 = AtomicU16::new(0);

/// Blocks of ports. A block is reserved by a UDP socket on its first port, so that concurrent test
/// programs do not take it too, even while nobody listens on it.
struct Blocks {
    first: u16,
    size: u16,
    count: u16,
}

impl Blocks {
    fn take(&self) -> (u16, UdpSocket) {
        let spread = (std::process::id() % 10_007) as u16;
        loop {
            let step = spread.wrapping_add(NEXT.fetch_add(1, Relaxed));
            let port = self.first + step % self.count * self.size;
            let Ok(held) = UdpSocket::bind(("127.0.0.1", port)) else {
                continue;
            };
            // In long blocks, the runtime itself looks for free ports.
            let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if self.size > 3 || (port..port + self.size).all(free) {
                return (port, held);
            }
        }
    }
}

/// The folder and the ports of one installation. Rooms that are left when it goes are killed.
pub struct Home {
    folder: TempDir,
    data: PathBuf,
    listen: (u16, UdpSocket),
    rooms: (u16, UdpSocket),
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    pub fn new() -> Self {
        Self::below("")
    }

    /// With its data in a subfolder, where a test can mount something.
    pub fn below(name: &str) -> Self {
        Self::within(tempfile::tempdir().expect("a temporary folder"), name)
    }

    /// In memory if possible, for tests that create more folders than a disk can in a second.
    pub fn in_memory() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::within(memory.expect("a temporary folder"), "")
    }

    fn within(folder: TempDir, name: &str) -> Self {
        let data = folder.path().join(name);
        std::fs::create_dir_all(&data).expect("a folder in it");
        Self {
            folder,
            data,
            listen: LISTEN.take(),
            rooms: ROOMS.take(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.data
    }

    /// The server's environment, always with the same ports, so that rooms find it again after a
    /// restart.
    pub fn environment(&self) -> Vec<(String, String)> {
        ["API", "ROOMSAPI", "INTERNALAPI"]
            .iter()
            .zip(self.listen.0..)
            .map(|(name, port)| (format!("MAESTRO_{name}_PORT"), port.to_string()))
            .collect()
    }

    pub fn start(&self) -> Maestro {
        self.start_with(&[])
    }

    /// Starts a server and waits until it owns all its schedulers.
    pub fn start_with(&self, environment: &[(&str, &str)]) -> Maestro {
        let maestro = self.start_only(environment);
        let until = Instant::now() + seconds(30);
        while !is_ready(&maestro.internal) {
            assert!(Instant::now() < until, "never ready:\n{}", maestro.logged());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        maestro
    }

    /// Starts one module and waits until it is ready. Its ports are chosen by the system.
    pub fn start_module(&self, module: &str, environment: &[(&str, &str)]) -> Maestro {
        if module == "all" {
            return self.start_with(environment);
        }
        let maestro = Maestro::module(module, &self.data, environment);
        let until = Instant::now() + seconds(30);
        while !is_ready(&maestro.internal) {
            assert!(Instant::now() < until, "never ready:\n{}", maestro.logged());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        maestro
    }

    /// Starts a server that listens, but may still be taking over its schedulers.
    pub fn start_only(&self, environment: &[(&str, &str)]) -> Maestro {
        match self.try_start(environment) {
            Ok(maestro) => maestro,
            Err(log) => panic!("it did not start:\n{log}"),
        }
    }

    /// Starts a server from a shell that runs `prelude` first.
    pub fn start_after(&self, prelude: &str) -> Maestro {
        let ports = self.environment();
        let all = ports.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let all: Vec<_> = all.collect();
        match Maestro::try_start_after(prelude, &self.data, &all) {
            Ok(maestro) => maestro,
            Err(log) => panic!("it did not start:\n{log}"),
        }
    }

    /// `Err`: its output before it ended.
    pub fn try_start(&self, environment: &[(&str, &str)]) -> Result<Maestro, String> {
        let ports = self.environment();
        let mut all: Vec<(&str, &str)> = ports
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        all.extend(environment);
        Maestro::try_start(&self.data, &all)
    }

    /// Ports for this test's rooms only.
    pub fn port_range(&self) -> Value {
        json!({"start": self.rooms.0, "end": self.rooms.0 + ROOMS.size - 1})
    }

    /// A fleet of sample rooms.
    pub fn fleet(&self, name: &str, rooms: u32) -> Value {
        self.fleet_of(
            name,
            rooms,
            &["maestro", "room", "--ping-interval", "300ms"],
        )
    }

    /// A fleet of rooms that do not ping: the test pings for them.
    pub fn mute_fleet(&self, name: &str, rooms: u32) -> Value {
        self.fleet_of(name, rooms, &["sleep", "600"])
    }

    pub fn fleet_of(&self, name: &str, rooms: u32, command: &[&str]) -> Value {
        let mut fleet = fleet_of(name, rooms, command);
        fleet["portRange"] = self.port_range();
        fleet
    }

    /// All processes that run in a room's folder of this installation.
    pub fn processes(&self) -> Vec<RoomProcess> {
        processes_below(&self.data)
    }

    /// The first process of each container of a scheduler's rooms, by room, sorted.
    pub fn pids(&self, scheduler: &str) -> Vec<(String, i32)> {
        let mut pids: Vec<_> = self
            .processes()
            .into_iter()
            .filter(|process| process.leader && process.scheduler == scheduler)
            .map(|process| (process.room, process.pid))
            .collect();
        pids.sort();
        pids
    }

    pub fn room_folder(&self, scheduler: &str, room: &str) -> PathBuf {
        self.data.join("rooms").join(scheduler).join(room)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let until = Instant::now() + seconds(10);
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > until {
                break;
            }
            for process in left {
                signal(process.pid, Signal::KILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // After a failed test the folder may be nested too deeply for the library that removes it.
        let rooms = self.data.join("rooms");
        let _ = std::process::Command::new("rm")
            .args(["-rf", "--one-file-system"])
            .arg(rooms)
            .status();
    }
}

/// Whether `/readyz` reports readiness. Needs no async runtime.
fn is_ready(url: &str) -> bool {
    let address = url.strip_prefix("http://").expect("a URL");
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(seconds(5)))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Sends a signal to a process that the caller has just seen; one that is gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), signal);
}

/// A living process of a room.
#[derive(Clone, Debug)]
pub struct RoomProcess {
    pub pid: i32,
    pub scheduler: String,
    pub room: String,
    pub container: String,
    /// It was started by the orchestrator, not by another process of the room.
    pub leader: bool,
}

fn processes_below(folder: &Path) -> Vec<RoomProcess> {
    let folder = folder.join("rooms");
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let variables = variables_of(pid)?;
        // Only processes of rooms have their home in a room's folder.
        if !Path::new(variables.get("HOME")?).starts_with(&folder) {
            return None;
        }
        // A process that is just ending may show only a part of its environment.
        let of = |name: &str| variables.get(name).cloned();
        Some(RoomProcess {
            pid,
            scheduler: of("MAESTRO_SCHEDULER_NAME")?,
            room: of("MAESTRO_ROOM_ID")?,
            container: of("MAESTRO_CONTAINER")?,
            leader: session_of(pid)? == pid,
        })
    })
    .collect()
}

/// The environment of a living process, as it was at its start.
pub fn variables_of(pid: i32) -> Option<HashMap<String, String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let pairs = text.split('\0').filter_map(|line| line.split_once('='));
    Some(
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

fn session_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(3)?.parse().ok()
}

/// Resident memory of a process.
pub fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|n| n.parse().ok()).expect("a number")
}

/// A small file system mounted on a folder; `Err` says why it could not be mounted.
pub struct Mounted {
    at: PathBuf,
}

impl Mounted {
    pub fn new(at: &Path, options: &str) -> Result<Self, String> {
        let output = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(Self { at: at.into() }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }

    pub fn remount(&self, options: &str) -> bool {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]);
        mount.arg(&self.at).status().is_ok_and(|s| s.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A lazy unmount: open files go with their last user.
        let _ = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(&self.at)
            .status();
    }
}

/// Runs a command of the binary to its end.
pub fn run(args: &[&str]) -> std::process::Output {
    std::process::Command::new(BINARY)
        .args(args)
        .output()
        .expect("the binary starts")
}
