//! When the lease of an owner is renewed: while the owner makes progress, and not much longer, so that the lease of a
//! stuck owner expires (architecture 5, One owner per scheduler). Both the actors and the simulation follow this rule.

use std::time::Duration;

/// The result of looking at one owner in a round of renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It made progress since the last round, or has rested. It is asked for a sign of life again.
    Progressed,
    /// Its last sign of life was all it had to do. It is not asked in this round.
    Resting,
    /// It has not answered yet, and there is still time to.
    Waiting,
    /// The time to answer ended in this round.
    Stuck,
    /// The time to answer ended in an earlier round.
    StillStuck,
}

impl Judgement {
    /// Whether its lease is renewed in this round.
    pub fn renews(self) -> bool {
        matches!(self, Self::Progressed | Self::Resting | Self::Waiting)
    }
}

/// Rounds in which an owner is left alone that does nothing but answer: asking each of a thousand idle owners in each
/// round cost more than all else that they did. One that becomes stuck meanwhile is noticed by so many rounds later.
const RESTS: u32 = 4;

/// An owner's turns at the last round, and the number of rounds without any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    turns: Option<u64>,
    idle: u32,
    /// Rounds that it still rests.
    rest: u32,
}

impl Pulse {
    /// Judges an owner by its number of turns so far. The first round counts as progress. `patience` is the number of
    /// rounds without progress after which it is stuck ([`patience`]).
    pub fn judge(&mut self, turns: u64, patience: u32) -> Judgement {
        let before = self.turns.replace(turns);
        let made = before.map(|before| turns.wrapping_sub(before));
        match (made, self.rest) {
            (Some(0), 0) => self.idle = self.idle.saturating_add(1),
            (Some(0), rest) => {
                self.rest = rest - 1;
                if self.rest > 0 {
                    return Judgement::Resting;
                }
            }
            // The answer and nothing else.
            (Some(1), 0) => {
                (self.idle, self.rest) = (0, RESTS);
                return Judgement::Resting;
            }
            _ => (self.idle, self.rest) = (0, 0),
        }
        match self.idle {
            0 => Judgement::Progressed,
            idle if idle < patience => Judgement::Waiting,
            idle if idle == patience => Judgement::Stuck,
            _ => Judgement::StillStuck,
        }
    }
}

/// Rounds without progress after which a lease is not renewed any more: as many as fit into a lease, at least one.
pub fn patience(lease: Duration, renewal: Duration) -> u32 {
    let every = renewal.max(Duration::from_millis(1));
    let rounds = lease.as_millis() / every.as_millis();
    u32::try_from(rounds).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Judgement::*;

    #[test]
    fn patience_is_as_long_as_a_lease() {
        let of =
            |lease, renewal| patience(Duration::from_millis(lease), Duration::from_millis(renewal));
        assert_eq!(of(3_000, 1_000), 3);
        assert_eq!(of(3_500, 1_000), 3);
        assert_eq!((of(500, 1_000), of(2, 0)), (1, 2));
    }

    #[test]
    fn an_owner_is_stuck_when_it_used_up_the_patience_and_well_after_its_next_turn() {
        let mut pulse = Pulse::default();
        let seen = [7, 7, 7, 7, 7, 8, 8, 9].map(|turns| pulse.judge(turns, 3));
        let expected = [
            Progressed, Waiting, Waiting, Stuck, StillStuck, Resting, Resting, Progressed,
        ];
        assert_eq!(seen, expected);
        let renewed = expected.map(Judgement::renews);
        assert_eq!(renewed, [true, true, true, false, false, true, true, true]);
    }

    #[test]
    fn an_idle_owner_is_asked_every_fifth_round_and_found_stuck_when_it_does_not_answer() {
        let mut pulse = Pulse::default();
        let seen = [7, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9].map(|turns| pulse.judge(turns, 3));
        let expected = [
            Progressed, Resting, Resting, Resting, Resting, Progressed, Resting, Resting, Resting,
            Resting, Progressed, Waiting, Waiting, Stuck,
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_busy_owner_is_asked_in_each_round() {
        let mut pulse = Pulse::default();
        let seen = [7, 9, 14, 16].map(|turns| pulse.judge(turns, 3));
        assert_eq!(seen, [Progressed; 4]);
    }
}
