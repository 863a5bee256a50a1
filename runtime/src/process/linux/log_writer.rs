//! What stands between a room's output and its log: a pipe, and a small process of our own program
//! that copies it into the log and rotates the log by the amount written.
//!
//! If a room wrote to the log itself, it could truncate it (`> /dev/stdout` reopens the file), a
//! flood would outgrow any periodic rotation, and lines between copy and truncate would be lost. A
//! pipe has nothing to truncate. The writer is a separate process, because rooms outlive us; there
//! is one for each container, so that ending one stops nothing else.
//!
//! The pipe has a name, and the room also holds it for reading. So the death of a writer does not
//! break the room: when the pipe is full the room blocks, and the next round gives the pipe another
//! writer. The lock on the pipe says whether there is one.

use super::{children, logs, rotation, safe_open, shortage::is_shortage, unsafe_calls};
use crate::process::settings::Rotation;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, chmodat, fcntl_getfl, fcntl_setfl,
        flock, fstat, mknodat, open,
    },
    io::Errno,
};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// The hidden command of our program, which [`run`] answers.
pub const COMMAND: &str = "room-log";
const CHUNK_BYTES: usize = 64 * 1024;
/// How much longer a file may be to complete its last line.
const LINE_REST_MAX: usize = 8 * 1024;

pub fn pipe_of(log: &Path) -> PathBuf {
    log.with_extension("pipe")
}

/// A new pipe with a writer behind it. Returns the room's output.
pub fn attach(program: &Path, log: &Path, rotation: &Rotation) -> io::Result<File> {
    let path = pipe_of(log);
    // An old pipe may have a writer that still copies the rest.
    remove(&path)?;
    let private = Mode::from_raw_mode(safe_open::MODE);
    mknodat(CWD, &path, FileType::Fifo, private, 0)?;
    // The umask may have restricted the mode. Nobody else can create anything at this path, because its folder is ours.
    chmodat(CWD, &path, private, AtFlags::empty())?;
    let both = open_pipe(&path, OFlags::RDWR)?;
    let source = open_pipe(&path, OFlags::RDONLY)?;
    flock(&source, FlockOperation::NonBlockingLockExclusive)?;
    start(program, log, rotation, source)?;
    Ok(both.into())
}

/// Starts a new writer for the pipe of a log if it has lost its own. False if this log has no pipe. `leader` is the
/// process that writes to the log, if it is running.
pub fn ensure(
    program: &Path,
    log: &Path,
    leader: Option<i32>,
    rotation: &Rotation,
) -> io::Result<bool> {
    let source = match open_pipe(&pipe_of(log), OFlags::RDONLY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match leader.and_then(|pid| nameless_pipe_of(log, pid)) {
                Some(source) => source,
                None => return Ok(false),
            }
        }
        opened => opened?,
    };
    if let Some(source) = lock(source)? {
        start(program, log, rotation, source)?;
    }
    Ok(true)
}

/// Opens a log's pipe whose name was removed, through the process that still writes to it.
fn nameless_pipe_of(log: &Path, leader: i32) -> Option<OwnedFd> {
    let outputs = [1, 2].map(|number| PathBuf::from(format!("/proc/{leader}/fd/{number}")));
    // The room may have opened another pipe of its own there; reading that would steal its bytes.
    let mut removed = pipe_of(log).into_os_string();
    removed.push(" (deleted)");
    let is_it = |output: &&PathBuf| fs::read_link(output).is_ok_and(|at| at.as_os_str() == removed);
    let output = outputs.iter().find(is_it)?;
    open_fifo(output, OFlags::RDONLY).ok()
}

/// Whether all output is in the log: there is no writer, or no pipe. Unknown when no descriptor is
/// available.
pub fn is_done(log: &Path) -> bool {
    match open_pipe(&pipe_of(log), OFlags::RDONLY).and_then(lock) {
        Ok(writer_gone) => writer_gone.is_some(),
        Err(error) => !is_shortage(&error),
    }
}

pub fn remove(pipe: &Path) -> io::Result<()> {
    match fs::remove_file(pipe) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `None` if the pipe's writer holds the lock.
fn lock(source: OwnedFd) -> io::Result<Option<OwnedFd>> {
    match flock(&source, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(source)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_pipe(path: &Path, mode: OFlags) -> io::Result<OwnedFd> {
    open_fifo(path, mode | OFlags::NOFOLLOW)
}

fn open_fifo(path: &Path, mode: OFlags) -> io::Result<OwnedFd> {
    let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&pipe)?.st_mode) != FileType::Fifo {
        let text = format!("{} is no pipe; remove it", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? - OFlags::NONBLOCK)?;
    Ok(pipe)
}

fn start(program: &Path, log: &Path, rotation: &Rotation, source: OwnedFd) -> io::Result<()> {
    let mut command = Command::new(program);
    command
        .arg0("maestro")
        .arg(COMMAND)
        .arg(log)
        .args([rotation.bytes.to_string(), rotation.files.to_string()])
        .env_clear()
        .current_dir("/")
        .stdin(source)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    unsafe_calls::in_own_session(&mut command, None);
    children::spawn_unattended(|| command.spawn())
}

/// The writer's process, when the command line asks for one: `room-log LOG BYTES FILES` with the
/// pipe as its input. It ends when no process has the pipe open any more.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.nth(1)? != COMMAND {
        return None;
    }
    let log = arguments.next().map(PathBuf::from);
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let (Some(log), Some(bytes), Some(files)) = (log, number(), number()) else {
        return Some(ExitCode::FAILURE);
    };
    // It ends with its room, not before: `pkill maestro` or a closed terminal must not block the
    // room.
    unsafe_calls::ignore_requests_to_end();
    let _ = rustix::thread::set_name(c"maestro-log");
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    copy(io::stdin().lock(), within(log), Rotation { bytes, files });
    Some(ExitCode::SUCCESS)
}

/// The log's path relative to its folder, which becomes the working directory, so that the writer follows a moved
/// folder.
fn within(log: PathBuf) -> PathBuf {
    match (log.parent(), log.file_name()) {
        (Some(folder), Some(name)) if std::env::set_current_dir(folder).is_ok() => name.into(),
        _ => log,
    }
}

/// Copies until the end of the source. Never waits for disk space: a room's match matters more than
/// its log.
fn copy(mut source: impl Read, log: PathBuf, rotation: Rotation) {
    let bytes = usize::try_from(rotation.bytes).unwrap_or(CHUNK_BYTES);
    let mut buffer = vec![0; bytes.clamp(1, CHUNK_BYTES)];
    let mut output = Output {
        log,
        rotation,
        file: None,
        in_line: false,
        dropped: None,
    };
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => output.write(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

struct Output {
    log: PathBuf,
    rotation: Rotation,
    file: Option<File>,
    /// The last write did not end a line.
    in_line: bool,
    /// How much could not be written, and why.
    dropped: Option<(u64, String)>,
}

impl Output {
    fn write(&mut self, chunk: &[u8]) {
        let said = self.say_dropped();
        if let Err(error) = said.and_then(|()| self.put(chunk)) {
            let dropped = self.dropped.as_ref().map_or(0, |(bytes, _)| *bytes);
            self.dropped = Some((dropped + chunk.len() as u64, error.to_string()));
        }
    }

    fn say_dropped(&mut self) -> io::Result<()> {
        if let Some((bytes, why)) = &self.dropped {
            let line =
                format!("\n[maestro: up to {bytes} bytes of output are missing here: {why}]\n");
            self.put(line.as_bytes())?;
            self.dropped = None;
        }
        Ok(())
    }

    /// Only the file with the log's name is written and rotated: the writer of the container's previous
    /// process may still do both, and people and their tools move logs away. A file that was removed
    /// with its folder is kept, since there is no other place.
    fn follow(&mut self) {
        let Some(held) = self.file.as_ref().and_then(|file| file.metadata().ok()) else {
            return;
        };
        match fs::symlink_metadata(&self.log) {
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {}
            Ok(_) => self.file = None,
            Err(_) => {
                if held.nlink() > 0 {
                    self.file = None;
                } else if let Ok(file) = safe_open::append(&self.log) {
                    self.file = Some(file);
                }
            }
        }
    }

    fn put(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.follow();
        let size = self.file()?.metadata()?.len();
        let left = self.rotation.bytes.saturating_sub(size);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if chunk.len() <= left {
            return self.append(chunk);
        }
        // Lines are kept whole across files: a line that was begun is finished, unless it is
        // endless.
        let is_end = |byte: &u8| *byte == b'\n';
        let fits = chunk[..left].iter().rposition(is_end).or_else(|| {
            let rest = chunk.iter().take(LINE_REST_MAX).position(is_end);
            rest.filter(|_| self.in_line)
        });
        let (older, newer) = chunk.split_at(fits.map_or(0, |newline| newline + 1));
        let written = self.append(older);
        self.rotate();
        written?;
        self.append(newer)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all(bytes)?;
        self.in_line = bytes.last().map_or(self.in_line, |last| *last != b'\n');
        Ok(())
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(safe_open::append(&self.log)?);
        }
        self.file
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// By renaming, which takes no disk space. A log that cannot be renamed (its folder was
    /// removed) is truncated, so that it does not keep growing; one that was moved away meanwhile is not.
    fn rotate(&mut self) {
        let Rotation { bytes: _, files } = self.rotation;
        let renamed = files > 1
            && rotation::shift(&self.log, files).is_ok()
            && fs::rename(&self.log, logs::rotated(&self.log, 1)).is_ok();
        if renamed {
            self.file = None;
            return;
        }
        self.follow();
        if let Some(file) = &self.file {
            let _ = file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::linux::logs::{Bounds, tail};
    use std::thread;

    fn rotation(bytes: u64, files: usize) -> Rotation {
        Rotation { bytes, files }
    }

    #[test]
    fn a_flood_stays_within_its_files_and_loses_none_of_its_newest_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        let (source, mut room) = io::pipe().unwrap();
        let place = log.clone();
        let writer = thread::spawn(move || copy(source, place, rotation(10_000, 3)));
        for number in 0..20_000 {
            writeln!(room, "number {number}").unwrap();
        }
        drop(room);
        writer.join().unwrap();
        let lines = tail(&log, 3, Bounds::of_request(1_500)).unwrap();
        let wanted: Vec<_> = (18_500..20_000).map(|n| format!("number {n}")).collect();
        assert_eq!(lines, wanted, "no line is torn or lost between the files");
        for entry in fs::read_dir(folder.path()).unwrap() {
            // One line longer at most.
            assert!(entry.unwrap().metadata().unwrap().len() <= 10_020);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_line_that_was_begun_is_finished_before_the_file_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        let mut output = Output {
            log: log.clone(),
            rotation: rotation(20, 3),
            file: None,
            in_line: false,
            dropped: None,
        };
        for chunk in ["one two three four", " five\nsix\n", "seven eight nine ten"] {
            output.write(chunk.as_bytes());
        }
        let text = |path| fs::read_to_string(path).unwrap();
        assert_eq!(text(logs::rotated(&log, 2)), "one two three four five\n");
        assert_eq!(text(logs::rotated(&log, 1)), "six\n");
        assert_eq!(text(log), "seven eight nine ten");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_nothing_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        fs::create_dir(&log).unwrap();
        let mut output = Output {
            log: log.clone(),
            rotation: rotation(1_000, 3),
            file: None,
            in_line: false,
            dropped: None,
        };
        output.write(b"lost\n");
        output.write(b"lost too\n");
        fs::remove_dir(&log).unwrap();
        output.write(b"kept\n");
        output.write(b"and so on\n");
        let text = fs::read_to_string(&log).unwrap();
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let note = lines.next().unwrap();
        assert!(note.starts_with("[maestro: up to 14 bytes of output are missing here: "));
        assert_eq!(lines.collect::<Vec<_>>(), ["kept", "and so on"]);
    }

    #[test]
    fn a_log_whose_folder_was_removed_does_not_grow_on() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("room");
        fs::create_dir(&place).unwrap();
        let mut output = Output {
            log: place.join("game.log"),
            rotation: rotation(1_000, 3),
            file: None,
            in_line: false,
            dropped: None,
        };
        output.write(b"first\n");
        fs::remove_dir_all(&place).unwrap();
        for _ in 0..100 {
            output.write(&[b'x'; 300]);
        }
        let unlinked = output.file.as_ref().unwrap().metadata().unwrap();
        assert!(unlinked.len() <= 1_000);
        assert!(!place.exists());
    }

    #[test]
    fn a_log_that_is_moved_away_keeps_its_lines_and_a_new_one_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        let moved = folder.path().join("kept.txt");
        // With one file a full log is truncated, which must not happen to the moved one.
        for files in [1, 3] {
            let mut output = Output {
                log: log.clone(),
                rotation: rotation(100, files),
                file: None,
                in_line: false,
                dropped: None,
            };
            output.write(b"before\n");
            fs::rename(&log, &moved).unwrap();
            output.write(b"after\n");
            assert_eq!(fs::read_to_string(&log).unwrap(), "after\n");
            output.write(&[b'x'; 300]);
            assert_eq!(fs::read_to_string(&moved).unwrap(), "before\n");
            fs::remove_file(&log).unwrap();
            output.write(b"after its removal\n");
            assert_eq!(fs::read_to_string(&log).unwrap(), "after its removal\n");
            fs::remove_file(&log).unwrap();
        }
    }

    #[test]
    fn a_pipe_without_a_name_gets_a_writer_and_no_other_pipe_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (log, program) = (folder.path().join("game.log"), copier(folder.path()));
        let other = folder.path().join("other.log");
        let rotation = rotation(1_000, 3);
        let output = attach(Path::new("/bin/true"), &log, &rotation).unwrap();
        let script = ["-c", "echo kept; read -r end"];
        let mut room = Command::new("/bin/sh");
        room.args(script).stdin(Stdio::piped()).stdout(output);
        let mut room = room.spawn().unwrap();
        remove(&pipe_of(&log)).unwrap();
        let pid = i32::try_from(room.id()).unwrap();
        assert!(!ensure(&program, &other, Some(pid), &rotation).unwrap());
        assert!(!ensure(&program, &log, None, &rotation).unwrap());
        // Until the first one, which reads nothing, has ended, it is the pipe's writer.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while fs::read_to_string(&log).unwrap_or_default() != "kept\n" {
            assert!(std::time::Instant::now() < until, "it gets no writer");
            assert!(ensure(&program, &log, Some(pid), &rotation).unwrap());
            thread::yield_now();
        }
        drop(room.stdin.take());
        room.wait().unwrap();
        children::reap_unattended();
    }

    /// A program that stands in for ours and copies like it.
    fn copier(folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let script = folder.join("copier");
        fs::write(&script, "#!/bin/sh\nexec cat >> \"$2\"\n").unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).unwrap();
        script
    }

    #[test]
    fn a_pipe_has_one_writer_at_a_time_and_gets_another_when_that_dies() {
        let folder = tempfile::tempdir().unwrap();
        let (log, program) = (folder.path().join("game.log"), copier(folder.path()));
        assert!(!ensure(&program, &log, None, &rotation(1_000, 3)).unwrap());
        // Nothing reads it yet, which is fine.
        let mut room = attach(Path::new("/bin/true"), &log, &rotation(1_000, 3)).unwrap();
        room.write_all(b"before\n").unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_done(&log) {
            assert!(std::time::Instant::now() < until, "the first one ends");
            thread::yield_now();
        }
        for _ in 0..3 {
            assert!(ensure(&program, &log, None, &rotation(1_000, 3)).unwrap());
            assert!(!is_done(&log));
        }
        room.write_all(b"after\n").unwrap();
        drop(room);
        while !is_done(&log) {
            assert!(std::time::Instant::now() < until, "the second one ends");
            thread::yield_now();
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "before\nafter\n");
        children::reap_unattended();
    }
}
