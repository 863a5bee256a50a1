//! Writes log lines to stderr: a bounded queue and one writing thread.
//!
//! Logging never waits and never fails. An unread pipe fills the queue, a closed one or a full disk refuses the lines:
//! they are dropped and counted, and the program continues.

use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Maximum bytes of queued lines.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// The interval between messages about dropped lines.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// The polling interval of a full stderr, if it is non-blocking.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Takes lines and drops what does not fit. Clones share one writer.
#[derive(Clone)]
pub struct LogWriter {
    shared: Arc<Shared>,
    /// Escapes text for terminals, if it is not escaped already.
    finish: fn(&str) -> std::borrow::Cow<'_, str>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    written: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Box<[u8]>>,
    /// Size of the queued lines and of the one being written.
    bytes: usize,
}

impl LogWriter {
    /// A separate thread, which may block, writes to `out`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        out: impl Write + AsFd + Send + 'static,
        finish: fn(&str) -> std::borrow::Cow<'_, str>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writing = shared.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || writing.write_all(out))?;
        Ok(Self { shared, finish })
    }

    /// Lines dropped since the start: the queue was full, or stderr refused them.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Takes one line, with its line end.
    pub fn push(&self, record: &str) {
        let record = (self.finish)(record);
        let mut queue = self.shared.queue.lock();
        if queue.bytes + record.len() > WAITING_BYTES_MAX {
            self.shared.dropped.fetch_add(1, Relaxed);
            return;
        }
        queue.bytes += record.len();
        queue.records.push_back(record.as_bytes().into());
        self.shared.filled.notify_one();
    }

    /// Waits until everything is written, `within` at most: a stalled reader must not block.
    pub fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let mut queue = self.shared.queue.lock();
        while queue.bytes > 0 {
            if self
                .shared
                .written
                .wait_until(&mut queue, until)
                .timed_out()
            {
                return;
            }
        }
    }
}

/// A line comes complete: the formatter writes it at once.
impl Write for LogWriter {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.push(&String::from_utf8_lossy(record));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn write_all(&self, out: impl Write + AsFd) {
        let mut out = Lines { out, torn: false };
        // How many of the dropped lines were reported.
        let mut told = 0;
        let mut told_at: Option<Instant> = None;
        loop {
            let record = self.next();
            let written = out.write(&record);
            {
                let mut queue = self.queue.lock();
                queue.bytes -= record.len();
                self.written.notify_all();
            }
            if written.is_err() {
                self.dropped.fetch_add(1, Relaxed);
                continue;
            }
            let dropped = self.dropped.load(Relaxed);
            // Reported rarely: while the queue is full each such line displaces another.
            if dropped > told && told_at.is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
                told_at = Some(Instant::now());
                tracing::warn!(dropped, "log lines were dropped: stderr was too slow");
                told = dropped;
            }
        }
    }

    fn next(&self) -> Box<[u8]> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(record) = queue.records.pop_front() {
                return record;
            }
            self.filled.wait(&mut queue);
        }
    }
}

struct Lines<W> {
    out: W,
    /// A part of a line was written and the rest was refused.
    torn: bool,
}

impl<W: Write + AsFd> Lines<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_bytes(b"\n")?;
            self.torn = false;
        }
        self.write_bytes(record)
    }

    fn write_bytes(&mut self, mut left: &[u8]) -> io::Result<()> {
        let whole = left.len();
        while !left.is_empty() {
            match self.out.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => left = &left[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares stderr made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let _ = poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], Some(&LOOK));
                }
                Err(error) => {
                    self.torn |= left.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::io::Read;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_reader_that_stalls_costs_lines_and_holds_nobody_up() {
        let (mut reader, out) = io::pipe().unwrap();
        let log = LogWriter::start(out, |record| Cow::Borrowed(record)).unwrap();
        let line = format!("{}\n", "x".repeat(1023));
        for _ in 0..3 * WAITING_BYTES_MAX / line.len() {
            log.push(&line);
        }
        let dropped = log.dropped();
        assert!(dropped > 0);
        let began = Instant::now();
        log.flush(SECOND / 10);
        assert!(began.elapsed() < SECOND * 5);
        // Once the pipe is read again, every accepted line arrives complete.
        let kept = 3 * WAITING_BYTES_MAX / line.len() - usize::try_from(dropped).unwrap();
        let mut read = vec![0; kept * line.len()];
        reader.read_exact(&mut read).unwrap();
        assert!(
            read.chunks(line.len())
                .all(|chunk| chunk == line.as_bytes())
        );
        log.flush(SECOND * 20);
        log.push(&line);
        log.flush(SECOND * 20);
        assert_eq!(log.dropped(), dropped, "there is room again");
    }

    #[test]
    fn a_reader_that_has_gone_and_a_full_disk_cost_lines() {
        let (reader, out) = io::pipe().unwrap();
        drop(reader);
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        for log in [
            LogWriter::start(out, |record| Cow::Borrowed(record)).unwrap(),
            LogWriter::start(full, |record| Cow::Borrowed(record)).unwrap(),
        ] {
            log.push("one\n");
            log.push("two\n");
            log.flush(SECOND * 20);
            // The last line is counted only after it has left the queue.
            while log.dropped() < 2 {
                std::thread::yield_now();
            }
        }
    }
}
