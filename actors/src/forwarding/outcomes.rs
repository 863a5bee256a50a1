//! Outcomes of events by scheduler, for the metrics (contract 6.5, 9).
//!
//! They are kept here rather than in a registry, so that a deleted scheduler leaves no series behind.

use maestro_core::domain::SchedulerName;
use maestro_core::ports::{ForwardError, ForwardedEvent};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

/// Maximum number of codes per scheduler with a label of their own; the rest share [`OTHER`].
const CODES_MAX: usize = 32;
const OTHER: &str = "other";
const SUCCESS: &str = "OK";

/// Counts of all schedulers that had events.
#[derive(Default)]
pub(crate) struct Outcomes(Mutex<HashMap<SchedulerName, Counts>>);

/// Counts of one scheduler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// By the code's name.
    pub room: BTreeMap<String, u64>,
    pub player: BTreeMap<String, u64>,
    pub pings_failed: u64,
    /// By forwarder.
    pub dropped: BTreeMap<String, u64>,
}

/// Whether a code means success.
pub(crate) fn is_success(code: &str) -> bool {
    code == SUCCESS
}

impl Outcomes {
    /// Counts a finished call. Calls that could not be made are not counted.
    pub fn called(
        &self,
        scheduler: &SchedulerName,
        event: &ForwardedEvent,
        result: &Result<(), ForwardError>,
    ) {
        let code = match result {
            Ok(()) => SUCCESS,
            Err(error) => match error.code() {
                Some(code) => code,
                None => return,
            },
        };
        self.change(scheduler, |counts| {
            let by_code = match event {
                ForwardedEvent::Player { .. } => &mut counts.player,
                _ => &mut counts.room,
            };
            count(by_code, code);
        });
    }

    /// Counts a resync that a forwarder did not accept.
    pub fn ping_failed(&self, scheduler: &SchedulerName) {
        self.change(scheduler, |counts| counts.pings_failed += 1);
    }

    /// Counts an event that was dropped.
    pub fn dropped(&self, scheduler: &SchedulerName, forwarder: &str) {
        self.change(scheduler, |counts| count(&mut counts.dropped, forwarder));
    }

    pub fn of(&self, scheduler: &str) -> Option<Counts> {
        self.0.lock().get(scheduler).cloned()
    }

    /// Keeps only the counts of known schedulers.
    pub fn keep(&self, known: impl Fn(&str) -> bool) {
        self.0.lock().retain(|name, _| known(name.as_str()));
    }

    fn change(&self, scheduler: &SchedulerName, change: impl FnOnce(&mut Counts)) {
        let mut all = self.0.lock();
        match all.get_mut(scheduler.as_str()) {
            Some(counts) => change(counts),
            None => change(all.entry(scheduler.clone()).or_default()),
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, label: &str) {
    if let Some(count) = counts.get_mut(label) {
        *count += 1;
        return;
    }
    let label = if counts.len() < CODES_MAX {
        label
    } else {
        OTHER
    };
    *counts.entry(label.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: &str) -> Result<(), ForwardError> {
        Err(ForwardError::Failed {
            forwarder: "mm".into(),
            code: code.into(),
            cause: String::new(),
        })
    }

    #[test]
    fn calls_count_by_their_codes_and_those_not_made_do_not() {
        let (outcomes, name) = (Outcomes::default(), SchedulerName::from("fleet"));
        let (forwarder, scheduler) = ("mm".to_owned(), name.clone());
        let none = Err(ForwardError::NoPort {
            forwarder: forwarder.clone(),
            scheduler,
        });
        let refused = Err(ForwardError::Refused {
            forwarder,
            code: 404,
        });
        for result in [Ok(()), failed("Unavailable"), refused, none, Ok(())] {
            outcomes.called(&name, &ForwardedEvent::Terminated, &result);
        }
        let counts = outcomes.of("fleet").unwrap();
        let by_code: Vec<_> = counts.room.iter().map(|(c, n)| (c.as_str(), *n)).collect();
        assert_eq!(by_code, [("NotFound", 1), ("OK", 2), ("Unavailable", 1)]);
        assert!(counts.player.is_empty());
        let player = ForwardedEvent::Player {
            joined: true,
            player: "p".into(),
        };
        outcomes.called(&name, &player, &Ok(()));
        let counts = outcomes.of("fleet").unwrap();
        assert_eq!((counts.player[SUCCESS], counts.room[SUCCESS]), (1, 2));
        outcomes.ping_failed(&name);
        outcomes.ping_failed(&name);
        assert_eq!(outcomes.of("fleet").unwrap().pings_failed, 2);
        outcomes.keep(|name| name == "fleet");
        assert!(outcomes.of("fleet").is_some());
        outcomes.keep(|name| name != "fleet");
        assert!(outcomes.of("fleet").is_none());
    }

    #[test]
    fn codes_that_forwarders_make_up_are_bounded() {
        let (outcomes, name) = (Outcomes::default(), SchedulerName::from("fleet"));
        for code in 0..100 {
            let result = failed(&format!("Code({code})"));
            outcomes.called(&name, &ForwardedEvent::Terminated, &result);
        }
        let room = outcomes.of("fleet").unwrap().room;
        assert_eq!((room.len(), room[OTHER]), (CODES_MAX + 1, 68));
    }
}
