//! When a container that has ended is started again (contract 4.8; the pace is ours).

use super::exit_watch::Ending;
use maestro_core::domain::RestartPolicy;
use maestro_core::rules::back_off::doubled;
use std::time::Duration;

const DELAY_FIRST: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A container that ran this long is healthy again: its delays start over.
const WELL_AFTER: Duration = Duration::from_secs(10 * 60);

/// Whether a container that ended like this is restarted. An unset policy means never (D4), and so does an unknown one.
pub fn wants_restart(policy: &RestartPolicy, ending: &Ending) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => !ending.is_success(),
        RestartPolicy::Unset | RestartPolicy::Never | RestartPolicy::Other(_) => false,
    }
}

/// 1 s · 2ⁿ, at most 60 s.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestartDelays {
    in_a_row: u32,
}

impl RestartDelays {
    /// The delays after this many consecutive ends.
    pub fn after(in_a_row: u32) -> Self {
        Self { in_a_row }
    }

    /// Number of ends since the last healthy run.
    pub fn in_a_row(self) -> u32 {
        self.in_a_row
    }

    pub fn next(&mut self, ran: Duration) -> Duration {
        if ran >= WELL_AFTER {
            self.in_a_row = 0;
        }
        let delay = doubled(DELAY_FIRST, self.in_a_row, DELAY_MAX);
        self.in_a_row = self.in_a_row.saturating_add(1);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_start_again_after_a_good_run() {
        let mut delays = RestartDelays::default();
        let seconds: Vec<_> = (0..8)
            .map(|_| delays.next(Duration::ZERO).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        let mut later = RestartDelays::after(delays.in_a_row() - 4);
        assert_eq!(later.next(Duration::ZERO).as_secs(), 16);
        assert_eq!(delays.next(WELL_AFTER), DELAY_FIRST);
        for _ in 0..100 {
            assert!(delays.next(Duration::ZERO) <= DELAY_MAX);
        }
    }

    #[test]
    fn policies_are_those_of_a_pod() {
        let well = Ending {
            code: Some(0),
            signal: None,
        };
        let unknown = Ending::default();
        for (word, after_success, after_failure) in [
            ("Always", true, true),
            ("OnFailure", false, true),
            ("Never", false, false),
            ("", false, false),
            ("Sometimes", false, false),
        ] {
            let policy = RestartPolicy::from(word);
            assert_eq!(wants_restart(&policy, &well), after_success, "{word}");
            assert_eq!(wants_restart(&policy, &unknown), after_failure, "{word}");
        }
    }
}
