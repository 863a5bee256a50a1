//! The game as a pure state machine: matches, status, and requested faults. It reads no clock.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

/// The shortest time between two matches that the room starts by itself, so that `--match-every 0` is not a busy loop.
const AUTO_EVERY_MIN: Duration = Duration::from_millis(10);

/// The configured behaviour of the room. Times count from its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    pub matches_max: u32,
    pub players_max: u32,
    pub auto: Option<Auto>,
    pub start_delay: Duration,
    pub slow_start: Duration,
    pub term_delay: Duration,
    pub crash_after: Option<Duration>,
    pub hang_after: Option<Duration>,
    pub silent_after: Option<Duration>,
}

/// Matches that the room starts by itself.
#[derive(Debug, Clone, Copy)]
pub struct Auto {
    pub first: Duration,
    pub every: Duration,
    pub length: Duration,
}

/// The status in a ping; the official client sends `pending` before the game is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Ready,
    Occupied,
    Terminating,
    Terminated,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Occupied => "occupied",
            Self::Terminating => "terminating",
            Self::Terminated => "terminated",
        })
    }
}

/// The reported state of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub status: Status,
    pub matches: u32,
    pub matches_max: u32,
    pub players: u32,
    /// Nothing is reported.
    pub silent: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            matches,
            matches_max,
            players,
            ..
        } = self;
        write!(
            f,
            "{status} matches {matches}/{matches_max} players {players}"
        )
    }
}

/// A fault that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Crash,
    Hang,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Starting,
    Open,
    Closing { closed_at: Instant },
    Closed,
}

#[derive(Debug)]
struct Match {
    id: u64,
    players: u32,
    ends_at: Instant,
}

/// One room's game.
#[derive(Debug)]
pub struct Game {
    rules: Rules,
    phase: Phase,
    audible: bool,
    muted: bool,
    matches: Vec<Match>,
    last_id: u64,
    audible_at: Instant,
    ready_at: Instant,
    silent_at: Option<Instant>,
    crash_at: Option<Instant>,
    hang_at: Option<Instant>,
    auto_at: Option<Instant>,
}

impl Game {
    pub fn new(rules: Rules, now: Instant) -> Self {
        let audible_at = now + rules.start_delay;
        let ready_at = audible_at + rules.slow_start;
        let mut game = Self {
            rules,
            phase: Phase::Starting,
            audible: false,
            muted: false,
            matches: Vec::new(),
            last_id: 0,
            audible_at,
            ready_at,
            silent_at: rules.silent_after.map(|after| now + after),
            crash_at: rules.crash_after.map(|after| now + after),
            hang_at: rules.hang_after.map(|after| now + after),
            auto_at: rules.auto.map(|auto| ready_at + auto.first),
        };
        game.open_when_due(now);
        game
    }

    /// Carries out everything that is due; returns a due fault.
    pub fn advance(&mut self, now: Instant) -> Option<Fault> {
        if due(self.crash_at, now) {
            return Some(Fault::Crash);
        }
        if due(self.hang_at, now) {
            return Some(Fault::Hang);
        }
        self.open_when_due(now);
        self.matches.retain(|game| game.ends_at > now);
        if let (Some(auto), true) = (self.rules.auto, due(self.auto_at, now)) {
            self.start_match(auto.length, self.rules.players_max, now);
            self.auto_at = Some(now + auto.every.max(AUTO_EVERY_MIN));
        }
        if let Phase::Closing { closed_at } = self.phase
            && closed_at <= now
        {
            self.matches.clear();
            self.phase = Phase::Closed;
        }
        None
    }

    /// When [`Game::advance`] has something to do next.
    pub fn next_wake(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Starting if !self.audible => Some(self.audible_at),
            Phase::Starting => Some(self.ready_at),
            Phase::Closing { closed_at } => Some(closed_at),
            Phase::Open | Phase::Closed => None,
        };
        let matches = self.matches.iter().map(|game| game.ends_at);
        [
            phase,
            self.silent_at,
            self.crash_at,
            self.hang_at,
            self.auto_at,
        ]
        .into_iter()
        .flatten()
        .chain(matches)
        .min()
    }

    /// Starts a match unless the room is full, not open, or too small for so many players.
    pub fn start_match(&mut self, length: Duration, players: u32, now: Instant) -> Option<u64> {
        let fits = matches!(self.phase, Phase::Open)
            && self.running() < self.rules.matches_max
            && players <= self.rules.players_max;
        // A match whose end is beyond the clock's range is not started.
        let ends_at = now.checked_add(length).filter(|_| fits)?;
        self.last_id += 1;
        self.matches.push(Match {
            id: self.last_id,
            players,
            ends_at,
        });
        Some(self.last_id)
    }

    /// Ends the oldest match.
    pub fn end_match(&mut self) -> Option<u64> {
        (!self.matches.is_empty()).then(|| self.matches.remove(0).id)
    }

    /// Begins to close; further calls change nothing.
    pub fn close(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Starting | Phase::Open) {
            self.phase = Phase::Closing {
                closed_at: now + self.rules.term_delay,
            };
            self.auto_at = None;
        }
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    pub fn report(&self) -> Report {
        let status = match self.phase {
            Phase::Starting => Status::Pending,
            Phase::Open if self.running() >= self.rules.matches_max => Status::Occupied,
            Phase::Open => Status::Ready,
            Phase::Closing { .. } => Status::Terminating,
            Phase::Closed => Status::Terminated,
        };
        Report {
            status,
            matches: self.running(),
            matches_max: self.rules.matches_max,
            players: self.matches.iter().map(|game| game.players).sum(),
            silent: self.muted || (!self.audible && matches!(self.phase, Phase::Starting)),
        }
    }

    fn running(&self) -> u32 {
        u32::try_from(self.matches.len()).unwrap_or(u32::MAX)
    }

    fn open_when_due(&mut self, now: Instant) {
        if let Phase::Starting = self.phase {
            self.audible = self.audible_at <= now;
            if self.ready_at <= now {
                self.phase = Phase::Open;
            }
        }
        if due(self.silent_at, now) {
            self.muted = true;
            self.silent_at = None;
        }
    }
}

fn due(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> Rules {
        Rules {
            matches_max: 2,
            players_max: 4,
            ..Rules::default()
        }
    }

    fn status_at(game: &mut Game, now: Instant) -> Status {
        assert_eq!(game.advance(now), None);
        game.report().status
    }

    #[test]
    fn a_room_is_occupied_while_no_match_more_fits() {
        let now = Instant::now();
        let mut game = Game::new(rules(), now);
        assert_eq!(game.report().status, Status::Ready);
        assert_eq!(game.start_match(SECOND, 4, now), Some(1));
        assert_eq!(game.report().status, Status::Ready);
        assert_eq!(game.start_match(SECOND * 2, 3, now), Some(2));
        assert_eq!(game.report().status, Status::Occupied);
        assert_eq!(game.report().players, 7);
        assert_eq!(game.start_match(SECOND, 1, now), None);
        assert_eq!(game.next_wake(), Some(now + SECOND));
        assert_eq!(status_at(&mut game, now + SECOND), Status::Ready);
        assert_eq!(game.end_match(), Some(2));
        assert_eq!(game.end_match(), None);
        assert_eq!(game.next_wake(), None);
    }

    #[test]
    fn a_party_that_is_too_large_does_not_fit() {
        let now = Instant::now();
        assert_eq!(Game::new(rules(), now).start_match(SECOND, 5, now), None);
    }

    #[test]
    fn a_slow_room_is_silent_then_pending_then_ready() {
        let now = Instant::now();
        let rules = Rules {
            start_delay: SECOND,
            slow_start: SECOND,
            ..rules()
        };
        let mut game = Game::new(rules, now);
        assert!(game.report().silent);
        assert_eq!(game.next_wake(), Some(now + SECOND));
        assert_eq!(status_at(&mut game, now + SECOND), Status::Pending);
        assert!(!game.report().silent);
        assert_eq!(game.start_match(SECOND, 1, now + SECOND), None);
        assert_eq!(game.next_wake(), Some(now + SECOND * 2));
        assert_eq!(status_at(&mut game, now + SECOND * 2), Status::Ready);
    }

    #[test]
    fn a_closing_room_takes_no_match_and_ends_after_its_delay() {
        let now = Instant::now();
        let mut game = Game::new(
            Rules {
                term_delay: SECOND,
                ..rules()
            },
            now,
        );
        game.close(now);
        game.close(now + SECOND / 2);
        assert_eq!(status_at(&mut game, now), Status::Terminating);
        assert_eq!(game.start_match(SECOND, 1, now), None);
        assert_eq!(game.next_wake(), Some(now + SECOND));
        assert_eq!(status_at(&mut game, now + SECOND), Status::Terminated);
        assert!(game.is_closed());
    }

    #[test]
    fn matches_start_by_themselves_when_asked() {
        let now = Instant::now();
        let auto = Auto {
            first: SECOND,
            every: SECOND * 10,
            length: SECOND * 3,
        };
        let mut game = Game::new(
            Rules {
                matches_max: 1,
                auto: Some(auto),
                ..rules()
            },
            now,
        );
        assert_eq!(status_at(&mut game, now + SECOND), Status::Occupied);
        assert_eq!(status_at(&mut game, now + SECOND * 4), Status::Ready);
        assert_eq!(game.next_wake(), Some(now + SECOND * 11));
    }

    #[test]
    fn faults_come_when_they_are_due() {
        let now = Instant::now();
        let after = Some(SECOND);
        let mut game = Game::new(
            Rules {
                crash_after: after,
                ..rules()
            },
            now,
        );
        assert_eq!(
            (game.advance(now), game.next_wake()),
            (None, Some(now + SECOND))
        );
        assert_eq!(game.advance(now + SECOND), Some(Fault::Crash));
        let mut game = Game::new(
            Rules {
                hang_after: after,
                ..rules()
            },
            now,
        );
        assert_eq!(game.advance(now + SECOND), Some(Fault::Hang));
        let mut game = Game::new(
            Rules {
                silent_after: after,
                ..rules()
            },
            now,
        );
        assert!(!game.report().silent);
        assert_eq!(status_at(&mut game, now + SECOND), Status::Ready);
        assert!(game.report().silent);
        assert_eq!(game.next_wake(), None);
    }
}
