//! Host ports of simulated rooms: drawn in order, each given to one room at a time, and never bound.

use std::collections::HashMap;

/// Numbers as bits, 64 to a word.
const WORDS: usize = (u16::MAX as usize + 1) / 64;

/// The ports that are taken, and where the last draw of each range ended.
pub struct PortCounter {
    taken: Box<[u64; WORDS]>,
    next: HashMap<(u16, u16), u16>,
}

impl Default for PortCounter {
    fn default() -> Self {
        Self {
            taken: Box::new([0; WORDS]),
            next: HashMap::new(),
        }
    }
}

impl PortCounter {
    /// The next free number from `start` to `end`, both included; `None`: all are taken.
    pub fn draw(&mut self, start: u16, end: u16) -> Option<u16> {
        let next = self.next.get(&(start, end)).copied().unwrap_or(start);
        let port = (next..=end)
            .chain(start..next)
            .find(|port| !self.is_taken(*port))?;
        self.take(port);
        let after = if port == end { start } else { port + 1 };
        self.next.insert((start, end), after);
        Some(port)
    }

    pub fn is_taken(&self, port: u16) -> bool {
        let (word, bit) = place(port);
        self.taken[word] & bit != 0
    }

    pub fn take(&mut self, port: u16) {
        let (word, bit) = place(port);
        self.taken[word] |= bit;
    }

    pub fn free(&mut self, ports: &[u16]) {
        for port in ports {
            let (word, bit) = place(*port);
            self.taken[word] &= !bit;
        }
    }
}

fn place(port: u16) -> (usize, u64) {
    (usize::from(port / 64), 1 << (port % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_drawn_in_order_until_it_is_exhausted() {
        let mut ports = PortCounter::default();
        assert_eq!(
            [1, 2, 3].map(|_| ports.draw(64, 66)),
            [Some(64), Some(65), Some(66)]
        );
        assert_eq!(ports.draw(64, 66), None);
        ports.free(&[65]);
        assert_eq!(ports.draw(64, 66), Some(65));
    }

    #[test]
    fn ranges_that_overlap_share_their_numbers() {
        let mut ports = PortCounter::default();
        assert_eq!(ports.draw(u16::MAX - 1, u16::MAX), Some(u16::MAX - 1));
        assert_eq!(ports.draw(u16::MAX, u16::MAX), Some(u16::MAX));
        assert_eq!(ports.draw(u16::MAX - 1, u16::MAX), None);
    }
}
