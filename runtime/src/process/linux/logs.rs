//! Reading the logs of rooms from their ends, within bounds. A room may write anything: endless
//! lines, gigabytes of zeros, bytes that are not text. Blocking: called on the blocking pool only.

use super::safe_open;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

pub const TAIL_LINES_MAX: usize = 10_000;
/// How much of a line is shown; a longer one is marked as cut.
const LINE_BYTES_MAX: usize = 8 * 1024;
const FIRST_LOOK_BYTES: usize = 64 * 1024;

/// How much of a log is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub lines: usize,
    /// Limit of all lines together, and of what is read from the files.
    pub bytes: usize,
}

impl Bounds {
    /// For a history, which is stored.
    pub fn of_exit() -> Self {
        Self {
            lines: 20,
            bytes: 64 * 1024,
        }
    }

    /// For a request.
    pub fn of_request(lines: usize) -> Self {
        Self {
            lines: lines.min(TAIL_LINES_MAX),
            bytes: 1024 * 1024,
        }
    }
}

pub fn rotated(log: &Path, number: usize) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The last lines, newest last; continues into the rotated files, of which there are `files - 1`,
/// when the log is young. Other files that a room gives similar names are ignored. A missing log
/// has no lines.
pub fn tail(log: &Path, files: usize, bounds: Bounds) -> io::Result<Vec<String>> {
    let mut tail = Tail {
        newest_last: VecDeque::new(),
        left: bounds,
        unread: bounds.bytes,
    };
    for number in 0..files.max(1) {
        let path = match number {
            0 => log.to_path_buf(),
            _ => rotated(log, number),
        };
        if tail.is_full() || tail.unread == 0 {
            break;
        }
        match safe_open::read(&path) {
            Ok(file) => tail.go_on_into(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && number > 0 => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tail.newest_last.into())
}

struct Tail {
    newest_last: VecDeque<String>,
    left: Bounds,
    /// Bytes that may still be read.
    unread: usize,
}

impl Tail {
    fn is_full(&self) -> bool {
        self.left.lines == 0 || self.left.bytes == 0
    }

    fn go_on_into(&mut self, mut file: File) -> io::Result<()> {
        let length = file.metadata()?.len();
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        let most = self.unread.min(whole);
        let mut end = read_end(&mut file, length, FIRST_LOOK_BYTES.min(most))?;
        if end.len() < most && lines_in(&end) <= self.left.lines {
            drop(end);
            end = read_end(&mut file, length, most)?;
        }
        self.unread -= end.len();
        self.take(&end, end.len() < whole);
        Ok(())
    }

    /// `torn`: the bytes start inside the file, and so perhaps inside a line.
    fn take(&mut self, bytes: &[u8], torn: bool) {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if bytes.is_empty() {
            return;
        }
        let mut end = bytes.len();
        loop {
            let start = bytes[..end].iter().rposition(|byte| *byte == b'\n');
            let begins = start.map_or(0, |newline| newline + 1);
            let torn = torn && begins == 0;
            // A torn line is shown only when there is nothing else.
            if torn && !self.newest_last.is_empty() {
                return;
            }
            if self.is_full() || !self.put(&bytes[begins..end], torn) {
                return;
            }
            match start {
                Some(newline) => end = newline,
                None => return,
            }
        }
    }

    fn put(&mut self, line: &[u8], torn: bool) -> bool {
        let text = shown(line, torn);
        let Some(left) = self.left.bytes.checked_sub(text.len() + 1) else {
            self.left.bytes = 0;
            return false;
        };
        self.left.bytes = left;
        self.left.lines -= 1;
        self.newest_last.push_front(text);
        true
    }
}

fn lines_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// The last bytes of a file that was `length` long a moment ago.
fn read_end(file: &mut File, length: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut end = Vec::with_capacity(bytes);
    file.seek(SeekFrom::Start(length - bytes as u64))?;
    file.take(bytes as u64).read_to_end(&mut end)?;
    Ok(end)
}

fn shown(line: &[u8], torn: bool) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let of_it = &line[..line.len().min(LINE_BYTES_MAX)];
    // Invalid bytes take three bytes each once they are shown.
    let mut text = String::from_utf8_lossy(of_it).into_owned();
    let cut = torn || of_it.len() < line.len() || text.len() > LINE_BYTES_MAX;
    if cut {
        text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
        text.push_str(match torn {
            true => " [line cut: its beginning is further back]",
            false => " [line cut]",
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write};

    const FILES: usize = 3;

    fn last(log: &Path, lines: usize) -> Vec<String> {
        tail(log, FILES, Bounds::of_request(lines)).unwrap()
    }

    #[test]
    fn the_tail_of_a_long_log_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        assert!(last(&log, 5).is_empty());
        let mut file = io::BufWriter::new(File::create(&log).unwrap());
        for number in 0..50_000 {
            writeln!(file, "line {number}").unwrap();
        }
        drop(file);
        assert_eq!(last(&log, 2), ["line 49998", "line 49999"]);
        let many = last(&log, 20_000);
        assert_eq!(many.len(), TAIL_LINES_MAX);
        assert_eq!(many[0], "line 40000");
        assert!(last(&log, 0).is_empty());
    }

    #[test]
    fn empty_lines_are_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        fs::write(&log, "one\r\n\n\nfour").unwrap();
        assert_eq!(last(&log, 9), ["one", "", "", "four"]);
        assert_eq!(last(&log, 3), ["", "", "four"]);
        fs::write(&log, "").unwrap();
        assert!(last(&log, 9).is_empty());
    }

    #[test]
    fn endless_lines_and_bytes_that_are_no_text_are_cut_and_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        for byte in [0xff, b'x', 0] {
            // 1 GiB, of which the file system stores only the end.
            let mut file = File::create(&log).unwrap();
            file.set_len(1 << 30).unwrap();
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(&vec![byte; 100_000]).unwrap();
            let lines = last(&log, 10);
            assert_eq!(lines.len(), 1);
            assert!(lines[0].len() < LINE_BYTES_MAX + 100);
            assert!(lines[0].contains("[line cut"), "{}", &lines[0][8_000..]);
            file.write_all(b"\nend\n").unwrap();
            assert_eq!(last(&log, 10), ["end"], "what is torn gives way");
        }
    }

    #[test]
    fn all_lines_together_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        let line = vec![b'y'; 20_000];
        let mut text = Vec::new();
        for _ in 0..500 {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        fs::write(&log, &text).unwrap();
        let sum = |lines: Vec<String>| lines.iter().map(|line| line.len() + 1).sum::<usize>();
        let requested = sum(last(&log, 10_000));
        assert!((400_000..=1 << 20).contains(&requested), "{requested}");
        let exit = sum(tail(&log, FILES, Bounds::of_exit()).unwrap());
        assert!((16_000..=64 << 10).contains(&exit), "{exit}");
    }

    #[test]
    fn only_files_that_rotation_makes_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("game.log");
        fs::write(&log, "young\n").unwrap();
        for number in 1..=5 {
            fs::write(rotated(&log, number), format!("old {number}\n")).unwrap();
        }
        assert_eq!(last(&log, 100), ["old 2", "old 1", "young"]);
    }
}
