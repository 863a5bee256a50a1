//! Limits how often something is done: at once if possible, not more often than an interval, and never omitted.

use maestro_core::domain::Mono;
use std::time::Duration;

pub(crate) struct Throttle {
    every: Duration,
    last: Option<Mono>,
    /// A later call is scheduled.
    promised: bool,
}

/// What the caller should do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    /// Schedule a call after this time; none is scheduled yet.
    Later(Duration),
    /// A call is scheduled already.
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

    /// Called when the action is wanted.
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

    /// Called when the scheduled time has come.
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
