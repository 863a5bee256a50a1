//! /proc: who runs, since when, in which session, and with which of our marks.

use super::{blocking::Jobs, ports::RoomKey};
use serde::{Deserialize, Serialize};
use std::{fs, io, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Mutex};

use std::sync::atomic::{AtomicU64, Ordering};

pub const INSTALLATION: &str = "MAESTRO_INSTALLATION";
pub const SCHEDULER: &str = "MAESTRO_SCHEDULER_NAME";
pub const ROOM: &str = "MAESTRO_ROOM_ID";
pub const CONTAINER: &str = "MAESTRO_CONTAINER";
pub const PORT: &str = "MAESTRO_PORT";

/// A process for as long as this boot lasts: numbers are given anew, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Clock ticks after boot.
    pub start_ticks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub state: u8,
    pub session: i32,
    pub start_ticks: u64,
}

impl Stat {
    /// Runs; a zombie does not.
    pub fn alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// The marks of a room's process, as its environment was at its start. A program may have
/// overwritten them (where it wrote its title), or hide them: what is missing says nothing.
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

    /// The room that they name, if it is one of this installation.
    pub fn of_room(&self, installation: &str) -> Option<RoomKey> {
        if self.installation.as_deref()? != installation {
            return None;
        }
        let (scheduler, room) = (self.scheduler.as_deref()?, self.room.as_deref()?);
        Some((scheduler.into(), room.into()))
    }

    /// They name this container of this room.
    pub fn name(&self, installation: &str, room: &RoomKey, container: &str) -> bool {
        self.of_room(installation).as_ref() == Some(room)
            && self.container.as_deref().unwrap_or_default() == container
    }

    /// They name something else.
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

pub fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields are counted from behind the name, which may hold blanks and brackets.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end_of_name = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(text.get(end_of_name + 1..)?)
        .ok()?
        .split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        state,
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

/// Everything that runs now.
pub fn scan() -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Some(stat) = stat(pid) else { continue };
        let environ = fs::read(format!("/proc/{pid}/environ"));
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

/// One scan at a time; others only beside some that hang (a process may hold its own
/// files in /proc up).
const SCANS_MAX: usize = 4;
const SCAN_PATIENCE: Duration = Duration::from_secs(10);

/// Shares scans: when two hundred rooms end at once, those that ask while one scan runs
/// are all served by the next.
pub struct Scanner {
    jobs: Jobs,
    asked: AtomicU64,
    /// The newest table, and how many had asked when its scan began.
    latest: Mutex<(u64, Arc<Vec<Row>>)>,
}

impl Scanner {
    pub fn new(handle: Handle) -> Self {
        Self {
            jobs: Jobs::new(handle, SCANS_MAX, SCAN_PATIENCE),
            asked: AtomicU64::new(0),
            latest: Mutex::new((0, Arc::default())),
        }
    }

    /// A table whose scan began after this call. While /proc cannot be read it is the one
    /// before: nobody is taken for gone who was there, and who is signalled is compared.
    pub async fn table(&self) -> Arc<Vec<Row>> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut latest = self.latest.lock().await;
        if latest.0 >= ticket {
            return latest.1.clone();
        }
        let serves = self.asked.load(Ordering::SeqCst);
        match self.jobs.run(scan).await {
            Ok(Ok(rows)) => *latest = (serves, Arc::new(rows)),
            Ok(Err(error)) => tracing::warn!(%error, "the process table cannot be read"),
            Err(error) => tracing::warn!(%error, "the process table cannot be read"),
        }
        latest.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let text = b"42 (a b) c) S 1 40 41 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 10 11";
        let stat = parse_stat(text).unwrap();
        assert_eq!(stat.session, 41);
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
        assert_eq!(stat(me).unwrap().start_ticks, row.id.start_ticks);
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
