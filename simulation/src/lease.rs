//! The lease of the simulated owner. It is renewed by [`maestro_core::rules::lease`]; an owner that is not stuck
//! answers in time, so only a stuck one is looked at.

use crate::world::World;
use maestro_core::rules::lease::{Pulse, patience};
use std::time::Duration;

/// How long a lease lasts, and the time between two renewals: the defaults of the actors.
const LEASE: Duration = Duration::from_secs(3);
const RENEWAL: Duration = Duration::from_secs(1);

impl World {
    /// The owner takes no turn for this time, which begins right after a renewal. True: its lease expired, and another
    /// owner took over for the rest of the time.
    pub fn stuck(&mut self, time: Duration) -> bool {
        let begun = self.clock.mono;
        let end = begun.plus(time);
        let (turns, patience) = (self.decisions as u64, patience(LEASE, RENEWAL));
        let mut pulse = Pulse::default();
        pulse.judge(turns, patience);
        let (mut until, mut round) = (begun.plus(LEASE), begun.plus(RENEWAL));
        while round < until.min(end) {
            if pulse.judge(turns, patience).renews() {
                until = round.plus(LEASE);
            }
            round = round.plus(RENEWAL);
        }
        let lost = until <= end;
        self.advance_to(until.min(end));
        if lost {
            self.restart();
        }
        self.pass(end.since(self.clock.mono));
        lost
    }
}
