//! Frames of HTTP/2 that a client sends, counted on their way in (RFC 9113, 10.5).
//!
//! Most kinds of frame cost the server work and bring no call further: settings and pings have to be acknowledged,
//! resets and empty data are looked at for nothing. The HTTP library bounds some kinds, not their number. Here each
//! such frame is paid for from a purse that calls, their answers and time fill; who has nothing left is hung up on
//! before the library sees what was sent.

use std::time::Duration;
use tokio::time::Instant;

/// What a connection begins with, and the most that it can save up.
const PURSE: u64 = 2048;
/// Time fills it, for clients that are silent and prove that they live.
const PER_SECOND: u64 = 64;
/// For the head of a call: its message, a window update, an acknowledgement.
const PER_HEAD: u64 = 3;
/// Bytes of answers for one more: whoever reads much tells how far it is.
const BYTES_PER_FRAME: u64 = 4096;
/// A reset, which ends work that has begun: more than its call's head brings, so that calls which are all reset use the
/// purse up.
const RESET_COSTS: u64 = 4;
/// Data of at least so many bytes brings a call further.
const DATA_MIN: usize = 128;

/// Of a frame's head.
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// Reads the frames of one connection, behind its preface.
pub struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    filled: usize,
    /// Bytes of the payload that are still to come.
    payload: usize,
    purse: u64,
    /// Of answers, that did not make up a frame's worth yet.
    answered: u64,
    /// When time filled the purse last.
    at: Instant,
}

impl Frames {
    pub fn new(now: Instant) -> Self {
        Self {
            head: [0; HEAD],
            filled: 0,
            payload: 0,
            purse: PURSE,
            answered: 0,
            at: now,
        }
    }

    /// Bytes of answers went out.
    pub fn answered(&mut self, bytes: usize) {
        self.answered += bytes as u64;
        self.earn(self.answered / BYTES_PER_FRAME);
        self.answered %= BYTES_PER_FRAME;
    }

    /// Takes what has come. False: it is too much of what brings no call further.
    pub fn take(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let seconds = now.duration_since(self.at).as_secs();
        if seconds > 0 {
            // What is less than a second counts for the next one.
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

    /// For the frame whose head is there.
    fn pay(&mut self) -> bool {
        let [a, b, c, kind, flags, ..] = self.head;
        self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
        let costs = match kind {
            HEADERS => {
                self.earn(PER_HEAD);
                return true;
            }
            DATA if self.payload >= DATA_MIN => 0,
            // The server itself asked for it, once.
            SETTINGS if flags & ACK != 0 => 1,
            RST_STREAM => RESET_COSTS,
            _ => 1,
        };
        match self.purse.checked_sub(costs) {
            Some(left) => {
                self.purse = left;
                true
            }
            None => false,
        }
    }

    fn earn(&mut self, frames: u64) {
        self.purse = self.purse.saturating_add(frames).min(PURSE);
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

    /// How many of them pass at once; `MANY`: as many as they like.
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
        // A large message.
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
            assert_eq!(connection.purse, PURSE - 2, "{size}");
            assert_eq!((connection.filled, connection.payload), (0, 0));
        }
    }

    #[test]
    fn time_and_answers_fill_the_purse() {
        let now = Instant::now();
        let mut connection = Frames::new(now);
        let ping = frame(PING, 8);
        assert!(connection.take(&ping.repeat(2048), now));
        assert!(connection.take(&ping.repeat(64), now + Duration::from_secs(1)));
        assert!(!connection.take(&ping, now + Duration::from_secs(1)));
        // A large answer, acknowledged on its way.
        for _ in 0..100_000 {
            connection.answered(3000);
            connection.answered(1096);
            assert!(connection.take(&frame(WINDOW_UPDATE, 4), now));
        }
    }
}
