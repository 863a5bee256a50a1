//! When to ping: at once on changes, otherwise once per period. Failed pings are retried forever, with growing pauses.

use maestro_core::rules::back_off::doubled;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::sync::watch;

use super::game::{Report, Status};
use super::link::{Link, Outcome};
use super::output::log;

/// First pause after a ping that was not accepted.
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// Longest such pause, unless the period itself is longer. It is short, so that a restarted orchestrator gets a ping
/// soon.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Pings the status of `reports` until `terminated` was sent, which always comes after `terminating`.
pub async fn ping_until_terminated(
    link: Option<Link>,
    mut reports: watch::Receiver<Report>,
    period: Duration,
) {
    let mut said_terminating = false;
    let mut failures = 0;
    loop {
        let mut report = *reports.borrow_and_update();
        let last = report.status == Status::Terminated;
        // The change was faster than the pings. `terminating` is sent first: the contract has no other transition to
        // `terminated`.
        if last && !said_terminating {
            report.status = Status::Terminating;
            say(link.as_ref(), &report, &mut failures).await;
            report.status = Status::Terminated;
        }
        say(link.as_ref(), &report, &mut failures).await;
        said_terminating |= report.status == Status::Terminating;
        if last {
            return;
        }
        let wait = pause(period, failures);
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Sends one ping unless the room is silent, and logs when the connection breaks and when it is back.
async fn say(link: Option<&Link>, report: &Report, failures: &mut u32) {
    let (Some(link), false) = (link, report.silent) else {
        return;
    };
    let trouble = match link.ping(report).await {
        Outcome::Accepted => None,
        // The rooms API does not accept `pending`; the official client sends it all the same.
        Outcome::Refused(_) if report.status == Status::Pending => None,
        Outcome::Refused(why) => Some(format!("refused: {why}")),
        Outcome::Unreachable(why) => Some(format!("not delivered: {why}")),
    };
    match trouble {
        Some(why) => {
            if *failures == 0 {
                log(format_args!("ping {} {why}; trying again", report.status));
            }
            *failures = failures.saturating_add(1);
        }
        None => {
            if *failures > 0 {
                log(format_args!(
                    "ping {} accepted after {failures} failures",
                    report.status
                ));
            }
            *failures = 0;
        }
    }
}

fn pause(period: Duration, failures: u32) -> Duration {
    if failures == 0 {
        // Varies the period by a tenth, so that a fleet does not ping in step.
        return period.mul_f64(0.9) + spread(period.mul_f64(0.2));
    }
    let longest = doubled(PAUSE_FIRST, failures - 1, PAUSE_MAX);
    longest / 2 + spread(longest / 2)
}

/// A random part of `range`. The keys of the standard hasher are randomness enough for a jitter.
pub fn spread(range: Duration) -> Duration {
    let drawn = (RandomState::new().build_hasher().finish() >> 32) as u32;
    range.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_near_the_period_while_all_is_well() {
        let period = Duration::from_secs(10);
        for _ in 0..200 {
            let pause = pause(period, 0);
            assert!(
                pause >= period.mul_f64(0.9) && pause <= period.mul_f64(1.1),
                "{pause:?}"
            );
        }
    }

    #[test]
    fn pauses_grow_with_failures_up_to_a_limit() {
        for failures in 1..100 {
            let longest = PAUSE_MAX.min(PAUSE_FIRST * 2_u32.pow((failures - 1).min(5)));
            let pause = pause(Duration::from_mins(1), failures);
            assert!(
                pause >= longest / 2 && pause <= longest,
                "{failures}: {pause:?}"
            );
        }
        assert!(pause(Duration::from_secs(1), u32::MAX) <= PAUSE_MAX);
    }
}
