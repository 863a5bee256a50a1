//! Logs of rooms: read from the end, rotated by copy and truncate, since the writers hold
//! the file itself. Blocking: called on the blocking pool only.

use super::safe_open;
use std::{
    collections::VecDeque,
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// More than this is never read for a tail, however long the lines are.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;
pub const TAIL_LINES_MAX: usize = 10_000;

fn rotated(log: &Path, number: usize) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The last lines, newest last; goes on into rotated files when the log is young. A log
/// that is not there has no lines.
pub fn tail(log: &Path, lines: usize) -> io::Result<Vec<String>> {
    let lines = lines.min(TAIL_LINES_MAX);
    let mut found = VecDeque::new();
    for number in 0.. {
        let path = match number {
            0 => log.to_path_buf(),
            _ => rotated(log, number),
        };
        let wanted = lines - found.len();
        if wanted == 0 {
            break;
        }
        match tail_of_file(&path, wanted) {
            Ok(older) => older.into_iter().rev().for_each(|l| found.push_front(l)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && number > 0 => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found.into())
}

fn tail_of_file(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    const CHUNK: u64 = 64 * 1024;
    let mut file = safe_open::read(path)?;
    let length = file.metadata()?.len();
    let mut start = length;
    let mut tail = Vec::new();
    while start > 0 && length - start < TAIL_BYTES_MAX {
        let chunk = CHUNK.min(start);
        start -= chunk;
        let mut bytes = Vec::with_capacity(chunk as usize + tail.len());
        file.seek(SeekFrom::Start(start))?;
        (&mut file).take(chunk).read_to_end(&mut bytes)?;
        bytes.append(&mut tail);
        tail = bytes;
        // One line end more than lines: the first line in hand may be a part of one.
        if tail.iter().filter(|byte| **byte == b'\n').count() > lines {
            break;
        }
    }
    let text = String::from_utf8_lossy(&tail);
    let mut last: Vec<_> = text.lines().rev().take(lines).map(str::to_owned).collect();
    last.reverse();
    Ok(last)
}

/// Keeps the log below `bytes`, `files` in all. What is written between copy and truncate
/// is lost: that is the price of a log that no process of ours stands behind.
pub fn rotate(log: &Path, bytes: u64, files: usize) -> io::Result<bool> {
    match fs::symlink_metadata(log) {
        Ok(metadata) if metadata.len() > bytes => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => return Ok(false),
    }
    for number in (1..files.saturating_sub(1)).rev() {
        match fs::rename(rotated(log, number), rotated(log, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut current = safe_open::read_write(log)?;
    if files > 1 {
        // Of a log that grew faster than it is looked at, the newest part.
        let length = current.metadata()?.len();
        current.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
        let mut copy = safe_open::create(&rotated(log, 1))?;
        io::copy(&mut current, &mut copy)?;
    }
    current.set_len(0)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{File, OpenOptions},
        io::Write,
    };

    #[test]
    fn the_tail_of_a_long_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        assert!(tail(&log, 5).unwrap().is_empty());
        let mut file = File::create(&log).unwrap();
        for number in 0..50_000 {
            writeln!(file, "line {number}").unwrap();
        }
        assert_eq!(tail(&log, 2).unwrap(), ["line 49998", "line 49999"]);
        assert_eq!(tail(&log, 20_000).unwrap().len(), TAIL_LINES_MAX);
        assert!(tail(&log, 0).unwrap().is_empty());
    }

    #[test]
    fn one_endless_line_and_bytes_that_are_no_text_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        fs::write(&log, vec![0xff; 3 * TAIL_BYTES_MAX as usize]).unwrap();
        let lines = tail(&log, 10).unwrap();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].chars().count() as u64 <= TAIL_BYTES_MAX);
    }

    #[test]
    fn rotation_keeps_the_writer_and_the_number_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        let mut writer = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        for round in 0..5 {
            writeln!(writer, "round {round} {}", "x".repeat(100)).unwrap();
            assert!(rotate(&log, 100, 3).unwrap());
            assert!(!rotate(&log, 100, 3).unwrap());
        }
        writeln!(writer, "young").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"young\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        let lines = tail(&log, 2).unwrap();
        assert_eq!(lines[1], "young");
        assert_eq!(lines.len(), 2, "the tail goes on into the rotated file");
    }
}
