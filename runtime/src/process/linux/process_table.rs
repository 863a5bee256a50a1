//! The process table from /proc: running processes with their start times, sessions and marks of ours.

use super::{blocking::Jobs, ports::RoomKey, shortage::is_shortage};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::{fs, io, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Mutex};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub const INSTALLATION: &str = "MAESTRO_INSTALLATION";
pub const SCHEDULER: &str = "MAESTRO_SCHEDULER_NAME";
pub const ROOM: &str = "MAESTRO_ROOM_ID";
pub const CONTAINER: &str = "MAESTRO_CONTAINER";
pub const PORT: &str = "MAESTRO_PORT";

/// Identifies a process within one boot: pids are reused, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Clock ticks after boot.
    pub start_ticks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub state: u8,
    pub parent: i32,
    pub session: i32,
    pub start_ticks: u64,
}

impl Stat {
    /// Whether it is running; a zombie is not.
    pub fn alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// The marks of a room's process, as its environment was at its start. A program may have
/// overwritten them (with its title), or hide them: missing marks say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub installation: Option<String>,
    pub scheduler: Option<String>,
    pub room: Option<String>,
    pub container: Option<String>,
    pub ports: Vec<u16>,
}

impl Marks {
    fn parse(environ: &[u8]) -> Self {
        let variables = || {
            environ.split(|&byte| byte == 0).filter_map(|line| {
                let line = std::str::from_utf8(line).ok()?;
                line.split_once('=')
            })
        };
        let value = |name: &str| {
            variables()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let ports = variables()
            .filter(|(key, _)| key.starts_with(PORT))
            .filter_map(|(_, value)| value.parse().ok());
        Self {
            installation: value(INSTALLATION),
            scheduler: value(SCHEDULER),
            room: value(ROOM),
            container: value(CONTAINER),
            ports: ports.collect(),
        }
    }

    /// The room that the marks name, if it belongs to this installation.
    pub fn of_room(&self, installation: &str) -> Option<RoomKey> {
        if self.installation.as_deref()? != installation {
            return None;
        }
        let (scheduler, room) = (self.scheduler.as_deref()?, self.room.as_deref()?);
        Some((scheduler.into(), room.into()))
    }

    /// Whether the marks name this container of this room.
    pub fn name(&self, installation: &str, room: &RoomKey, container: &str) -> bool {
        self.of_room(installation).as_ref() == Some(room)
            && self.container.as_deref().unwrap_or_default() == container
    }

    /// Whether the marks name something else.
    pub fn contradict(&self, installation: &str, room: &RoomKey, container: &str) -> bool {
        let pairs = [
            (&self.installation, installation),
            (&self.scheduler, room.0.as_str()),
            (&self.room, room.1.as_str()),
            (&self.container, container),
        ];
        pairs
            .iter()
            .any(|(mark, own)| mark.as_ref().is_some_and(|mark| mark != own))
    }
}

#[derive(Clone, Debug)]
pub struct Row {
    pub id: ProcessId,
    pub stat: Stat,
    pub marks: Marks,
}

impl Row {
    pub fn leads_session(&self) -> bool {
        self.stat.session == self.id.pid
    }
}

/// `Ok(None)`: no process has this number. An error says nothing about the process.
pub fn stat(pid: i32) -> io::Result<Option<Stat>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => match parse_stat(&text) {
            Some(stat) => Ok(Some(stat)),
            None => Err(io::Error::other(format!("/proc/{pid}/stat is torn"))),
        },
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether exactly this process is running. If that is unknown it counts as running, because a running process that
/// counts as gone would be lost.
pub fn may_run(id: ProcessId) -> bool {
    match stat(id.pid) {
        Ok(Some(stat)) => stat.alive() && stat.start_ticks == id.start_ticks,
        Ok(None) => false,
        Err(_) => true,
    }
}

/// Reads a file of a process in /proc. Where processes of other users are hidden (`hidepid`), one
/// that is not accessible is not ours.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM)
    )
}

/// Fields are counted from behind the name, which may contain blanks and brackets.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end_of_name = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(text.get(end_of_name + 1..)?)
        .ok()?
        .split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        state,
        parent,
        session,
        start_ticks,
    })
}

pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

pub fn pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// All processes that are running now.
///
/// # Errors
/// Also when a single process could not be read for lack of descriptors or memory: an incomplete
/// table would make a process look gone.
pub fn scan() -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let stat = match stat(pid) {
            Ok(Some(stat)) => stat,
            Err(error) if is_shortage(&error) => return Err(error),
            _ => continue,
        };
        let environ = match fs::read(format!("/proc/{pid}/environ")) {
            Err(error) if is_shortage(&error) => return Err(error),
            other => other,
        };
        let id = ProcessId {
            pid,
            start_ticks: stat.start_ticks,
        };
        rows.push(Row {
            id,
            stat,
            marks: Marks::parse(&environ.unwrap_or_default()),
        });
    }
    Ok(rows)
}

/// Whether the process writes its output to this very file.
pub fn writes_to(pid: i32, file: &Path) -> bool {
    let Ok(file) = fs::symlink_metadata(file) else {
        return false;
    };
    file.is_file()
        && [1, 2].iter().any(|number| {
            // Follows the descriptor, not the name that it was opened by.
            fs::metadata(format!("/proc/{pid}/fd/{number}"))
                .is_ok_and(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()))
        })
}

/// One scan at a time; more only beside hanging ones (a process may block reads of its own files in
/// /proc).
const SCANS_MAX: usize = 4;
const SCAN_PATIENCE: Duration = Duration::from_secs(10);

/// Shares scans: when two hundred rooms end at once, those that ask while one scan runs
/// are all served by the next.
pub struct Scanner {
    jobs: Jobs,
    asked: AtomicU64,
    /// The last scan failed, and that was logged.
    troubled: AtomicBool,
    /// The newest table, and how many had asked when its scan began.
    latest: Mutex<(u64, Arc<Vec<Row>>)>,
}

impl Scanner {
    pub fn new(handle: Handle) -> Self {
        Self {
            jobs: Jobs::new(handle, SCANS_MAX, SCAN_PATIENCE),
            asked: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            latest: Mutex::new((0, Arc::default())),
        }
    }

    /// A table whose scan began after this call.
    ///
    /// # Errors
    /// If the scan fails: an unreadable table is not an empty one.
    pub async fn table(&self) -> io::Result<Arc<Vec<Row>>> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut latest = self.latest.lock().await;
        if latest.0 >= ticket {
            return Ok(latest.1.clone());
        }
        let serves = self.asked.load(Ordering::SeqCst);
        let scanned = self.jobs.run(scan).await;
        let rows = scanned.map_err(io::Error::other).flatten();
        match (&rows, self.troubled.swap(rows.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::warn!(%error, "the process table cannot be read: ends of rooms wait until it can; raise the limit of open files");
            }
            (Ok(_), true) => tracing::info!("the process table can be read again"),
            _ => {}
        }
        *latest = (serves, Arc::new(rows?));
        Ok(latest.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let text = b"42 (a b) c) S 1 40 41 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 10 11";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.session), (1, 41));
        assert_eq!(stat.start_ticks, 9876);
        assert!(stat.alive());
    }

    #[test]
    fn a_torn_stat_is_none() {
        assert_eq!(parse_stat(b"42 (x"), None);
        assert_eq!(parse_stat(b"42 (x) S 1 2"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn our_own_process_is_in_the_table() {
        let me = std::process::id() as i32;
        let rows = scan().unwrap();
        let row = rows.iter().find(|row| row.id.pid == me).unwrap();
        assert!(row.stat.alive());
        assert_eq!(stat(me).unwrap().unwrap().start_ticks, row.id.start_ticks);
    }

    #[test]
    fn marks_of_another_installation_are_not_ours() {
        let environ = b"A=b\0MAESTRO_INSTALLATION=one\0MAESTRO_SCHEDULER_NAME=s\0MAESTRO_ROOM_ID=r\0MAESTRO_CONTAINER=game\0MAESTRO_PORT_GAME=20000\0";
        let marks = Marks::parse(environ);
        let room: RoomKey = ("s".into(), "r".into());
        assert_eq!(marks.of_room("two"), None);
        assert_eq!(marks.of_room("one"), Some(room.clone()));
        assert_eq!(marks.ports, [20000]);
        assert!(marks.name("one", &room, "game"));
        assert!(!marks.contradict("one", &room, "game"));
        for (installation, key, container) in [
            ("two", room.clone(), "game"),
            ("one", ("s".into(), "other".into()), "game"),
            ("one", ("other".into(), "r".into()), "game"),
            ("one", room.clone(), "sidecar"),
        ] {
            assert!(marks.contradict(installation, &key, container));
            assert!(!marks.name(installation, &key, container));
        }
    }

    #[test]
    fn missing_marks_name_nothing_and_contradict_nothing() {
        let room: RoomKey = ("s".into(), "r".into());
        for environ in [&b""[..], b"game: a title over it all\0\0\0\xff\0OTHER=1\0"] {
            let marks = Marks::parse(environ);
            assert_eq!(marks.of_room("one"), None);
            assert!(!marks.name("one", &room, "game"));
            assert!(!marks.contradict("one", &room, "game"));
        }
    }
}
