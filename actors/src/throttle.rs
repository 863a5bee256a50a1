//! Something is done at once, but not more often than every so often; the last time is never left out.

use maestro_core::domain::Mono;
use std::time::Duration;

pub(crate) struct Throttle {
    every: Duration,
    last: Option<Mono>,
    /// Somebody comes again later.
    promised: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    /// Come again after this time; nobody has promised to yet.
    Later(Duration),
    /// Somebody comes again already.
    Promised,
}

impl Throttle {
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            last: None,
            promised: false,
        }
    }

    /// Somebody wants it done.
    pub fn wanted(&mut self, now: Mono) -> Due {
        let early = self.last.is_some_and(|last| now.since(last) < self.every);
        if !early {
            self.last = Some(now);
            return Due::Now;
        }
        match std::mem::replace(&mut self.promised, true) {
            true => Due::Promised,
            false => Due::Later(self.every),
        }
    }

    /// Who promised to come again is here.
    pub fn came(&mut self) {
        self.promised = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_at_once_and_then_not_too_often() {
        let every = Duration::from_millis(100);
        let at = |ms: u64| Mono::default().plus(Duration::from_millis(ms));
        let mut throttle = Throttle::new(every);
        assert_eq!(throttle.wanted(at(0)), Due::Now);
        assert_eq!(throttle.wanted(at(1)), Due::Later(every));
        assert_eq!(throttle.wanted(at(99)), Due::Promised);
        assert_eq!(throttle.wanted(at(100)), Due::Now, "its time has come");
        throttle.came();
        assert_eq!(throttle.wanted(at(199)), Due::Later(every));
        throttle.came();
        assert_eq!(throttle.wanted(at(299)), Due::Now);
    }
}
