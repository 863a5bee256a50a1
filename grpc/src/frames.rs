//! A budget for the HTTP/2 frames that a client sends (RFC 9113, 10.5).
//!
//! Most kinds of frame make the server work without advancing a call: settings and pings have to be acknowledged,
//! resets and empty data are processed for nothing. The HTTP library bounds some of these kinds, but not their number.
//! Here each such frame is charged to a budget that calls, their answers and time replenish. A connection whose budget
//! is exhausted is closed before the library sees the frame.

use std::time::Duration;
use tokio::time::Instant;

/// The initial budget of a connection, and the most that it can accumulate.
const BUDGET: u64 = 2048;
/// Replenished per second, for idle clients that send keep-alive pings.
const PER_SECOND: u64 = 64;
/// Replenished per request head: pays for the call's message, a window update and an acknowledgement.
const PER_HEAD: u64 = 3;
/// Replenished by one for so many bytes of answers: a client that reads much sends many window updates.
const BYTES_PER_FRAME: u64 = 4096;
/// The price of a reset, which ends work in progress. It is higher than `PER_HEAD`, so that a client that resets each
/// of its calls exhausts the budget.
const RESET_COSTS: u64 = 4;
/// Data of at least this many bytes advances a call and is free.
const DATA_MIN: usize = 128;

/// Length of a frame header.
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// Parses the frames of one connection, after its preface.
pub struct Frames {
    head: [u8; HEAD],
    /// Bytes of the current frame's header received so far.
    filled: usize,
    /// Bytes of the current frame's payload still to come.
    payload: usize,
    budget: u64,
    /// Bytes of answers not yet credited, less than `BYTES_PER_FRAME`.
    answered: u64,
    /// When time last replenished the budget.
    at: Instant,
}

impl Frames {
    pub fn new(now: Instant) -> Self {
        Self {
            head: [0; HEAD],
            filled: 0,
            payload: 0,
            budget: BUDGET,
            answered: 0,
            at: now,
        }
    }

    /// Credits bytes of answers that were sent.
    pub fn answered(&mut self, bytes: usize) {
        self.answered += bytes as u64;
        self.earn(self.answered / BYTES_PER_FRAME);
        self.answered %= BYTES_PER_FRAME;
    }

    /// Processes bytes from the client. False when the budget is exhausted.
    pub fn take(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let seconds = now.duration_since(self.at).as_secs();
        if seconds > 0 {
            // The remainder of a second is kept for the next call.
            self.at += Duration::from_secs(seconds);
            self.earn(seconds.saturating_mul(PER_SECOND));
        }
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let wanted = (HEAD - self.filled).min(bytes.len());
            self.head[self.filled..][..wanted].copy_from_slice(&bytes[..wanted]);
            self.filled += wanted;
            bytes = &bytes[wanted..];
            if self.filled == HEAD {
                self.filled = 0;
                if !self.pay() {
                    return false;
                }
            }
        }
        true
    }

    /// Charges or credits the frame whose header is complete.
    fn pay(&mut self) -> bool {
        let [a, b, c, kind, flags, ..] = self.head;
        self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
        let costs = match kind {
            HEADERS => {
                self.earn(PER_HEAD);
                return true;
            }
            DATA if self.payload >= DATA_MIN => 0,
            // The acknowledgement of the server's own settings, which it sends once.
            SETTINGS if flags & ACK != 0 => 1,
            RST_STREAM => RESET_COSTS,
            _ => 1,
        };
        match self.budget.checked_sub(costs) {
            Some(left) => {
                self.budget = left;
                true
            }
            None => false,
        }
    }

    fn earn(&mut self, frames: u64) {
        self.budget = self.budget.saturating_add(frames).min(BUDGET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;
    const CONTINUATION: u8 = 9;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD + payload, 0xff);
        frame
    }

    /// How many repetitions of these frames are accepted; `MANY` means no limit was reached.
    fn pass(frames: &[Vec<u8>]) -> usize {
        const MANY: usize = 100_000;
        let (now, bytes) = (Instant::now(), frames.concat());
        let mut connection = Frames::new(now);
        (0..MANY)
            .find(|_| !connection.take(&bytes, now))
            .unwrap_or(MANY)
    }

    #[test]
    fn floods_of_every_kind_end_and_calls_do_not() {
        for kind in [SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, 2, 5, 7, 200] {
            assert_eq!(pass(&[frame(kind, 0)]), 2048, "{kind}");
        }
        assert_eq!(pass(&[frame(DATA, 0)]), 2048);
        assert_eq!(pass(&[frame(RST_STREAM, 4)]), 512);
        assert_eq!(pass(&[frame(HEADERS, 30), frame(RST_STREAM, 4)]), 2045);
        let call = [frame(HEADERS, 30), frame(DATA, 20)];
        let with = |more: &[Vec<u8>]| pass(&[&call, more].concat());
        assert_eq!(with(&[]), 100_000);
        assert_eq!(with(&[frame(PING, 8), frame(WINDOW_UPDATE, 4)]), 100_000);
        assert!(with(&[frame(RST_STREAM, 4)]) < 1025);
        // A large request message.
        assert_eq!(pass(&[frame(DATA, 16_384)]), 100_000);
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let now = Instant::now();
        let bytes = [frame(HEADERS, 300), frame(PING, 8), frame(SETTINGS, 6)].concat();
        for size in 1..bytes.len() {
            let mut connection = Frames::new(now);
            for part in bytes.chunks(size) {
                assert!(connection.take(part, now));
            }
            assert_eq!(connection.budget, BUDGET - 2, "{size}");
            assert_eq!((connection.filled, connection.payload), (0, 0));
        }
    }

    #[test]
    fn time_and_answers_fill_the_budget() {
        let now = Instant::now();
        let mut connection = Frames::new(now);
        let ping = frame(PING, 8);
        assert!(connection.take(&ping.repeat(2048), now));
        assert!(connection.take(&ping.repeat(64), now + Duration::from_secs(1)));
        assert!(!connection.take(&ping, now + Duration::from_secs(1)));
        // A large answer, with acknowledgements while it is being sent.
        for _ in 0..100_000 {
            connection.answered(3000);
            connection.answered(1096);
            assert!(connection.take(&frame(WINDOW_UPDATE, 4), now));
        }
    }
}
