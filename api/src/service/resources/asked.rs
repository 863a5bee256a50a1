//! Requests for resource metrics as questions to their source: times and steps are checked before anybody is
//! asked.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use maestro_core::ports::Window;

use crate::codec::messages::resourcemetrics::VersionRequest;
use crate::codec::parse_timestamp;
use crate::{ApiResult, Status};

/// The most samples of one answer, as many as Prometheus gives.
pub const SAMPLES_MAX: i64 = 11_000;
/// The time that an answer covers if its begin is not given.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Samples of an answer whose step is not given.
const SAMPLES: i64 = 60;

/// The window of an answer: `toDate` or now, from `fromDate` or an hour earlier.
pub fn window(request: &VersionRequest, now: Timestamp, least: Duration) -> ApiResult<Window> {
    let to = date("toDate", &request.toDate)?.unwrap_or(now);
    let from = match date("fromDate", &request.fromDate)? {
        Some(from) => from,
        None => to.checked_sub(HOUR).unwrap_or(Timestamp::MIN),
    };
    if from > to {
        return refused(format!("fromDate {from} is later than toDate {to}"));
    }
    let step = match step(request)? {
        Some(step) => step,
        None => {
            let span = to.duration_since(from).as_secs();
            let step = u64::try_from((span + SAMPLES - 1) / SAMPLES).unwrap_or_default();
            Duration::from_secs(step).max(least)
        }
    };
    bounded(Window { from, to, step })
}

/// The window of a watch's first message: `fromDate`, or one step before now, until now.
pub fn watched(request: &VersionRequest, now: Timestamp, usual: Duration) -> ApiResult<Window> {
    let step = step(request)?.unwrap_or(usual);
    let from = match date("fromDate", &request.fromDate)? {
        // A clock of the caller that is ahead of ours is no reason to refuse it.
        Some(from) => from.min(now),
        None => now.checked_sub(step).unwrap_or(Timestamp::MIN),
    };
    bounded(Window {
        from,
        to: now,
        step,
    })
}

fn date(field: &str, text: &str) -> ApiResult<Option<Timestamp>> {
    if text.is_empty() {
        return Ok(None);
    }
    match parse_timestamp(text) {
        Some(at) => Ok(Some(at)),
        None => refused(format!(
            "invalid {field} {text:?}: it has to be a time in RFC 3339, such as 2026-01-02T03:04:05Z"
        )),
    }
}

fn step(request: &VersionRequest) -> ApiResult<Option<Duration>> {
    match u64::try_from(request.step) {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
        Err(_) => refused(format!(
            "invalid step {}: it has to be a number of seconds, or 0 for one that fits the time",
            request.step
        )),
    }
}

fn bounded(window: Window) -> ApiResult<Window> {
    let span = window.to.duration_since(window.from).as_secs();
    let step = i64::try_from(window.step.as_secs()).unwrap_or(i64::MAX);
    let samples = span / step.max(1) + 1;
    match samples <= SAMPLES_MAX {
        true => Ok(window),
        false => refused(format!(
            "{samples} samples were asked for, and {SAMPLES_MAX} are the most of one answer: set a longer step or a \
             shorter time"
        )),
    }
}

fn refused<T>(text: String) -> ApiResult<T> {
    Err(Status::invalid_argument(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(5);

    fn now() -> Timestamp {
        "2026-01-02T12:00:00Z".parse().unwrap()
    }

    fn asked(from: &str, to: &str, step: i32) -> VersionRequest {
        VersionRequest {
            fromDate: from.into(),
            toDate: to.into(),
            step,
            ..Default::default()
        }
    }

    fn got(request: &VersionRequest) -> Result<(usize, u64), String> {
        let window = window(request, now(), LEAST).map_err(|status| status.message)?;
        Ok((window.times().count(), window.step.as_secs()))
    }

    #[test]
    fn windows_have_both_ends_and_a_step_that_fits() {
        let quarter = |step| asked("2026-01-02T11:00:00Z", "2026-01-02T11:15:00Z", step);
        assert_eq!(got(&quarter(60)), Ok((16, 60)));
        assert_eq!(got(&quarter(0)), Ok((61, 15)));
        assert_eq!(got(&asked("", "", 0)), Ok((61, 60)));
        // An offset is read, and a short time has the least step.
        let minute = asked("2026-01-02T13:59:00+02:00", "", 0);
        assert_eq!(got(&minute), Ok((13, 5)));
        let day = asked("2026-01-01T12:00:00Z", "", 0);
        assert_eq!(got(&day), Ok((61, 1440)));
    }

    #[test]
    fn what_no_source_can_answer_is_refused_here() {
        for (request, why) in [
            (asked("yesterday", "", 0), "invalid fromDate"),
            (asked("2026-01-02 11:00:00", "", 0), "invalid fromDate"),
            (asked("", "2026-13-01T00:00:00Z", 0), "invalid toDate"),
            (asked("", "", -1), "invalid step -1"),
            (
                asked("2026-01-02T11:00:00Z", "2026-01-02T10:00:00Z", 60),
                "is later than toDate",
            ),
            (
                asked("2026-01-02T00:00:00Z", "2026-01-02T03:03:20Z", 1),
                "11001 samples",
            ),
        ] {
            let refused = got(&request).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let most = asked("2026-01-02T00:00:00Z", "2026-01-02T03:03:19Z", 1);
        assert_eq!(got(&most), Ok((11_000, 1)));
    }

    #[test]
    fn a_watch_begins_a_step_ago_or_where_it_is_told() {
        let of = |from: &str, step| watched(&asked(from, "", step), now(), LEAST);
        let begin = |from: &str, step| of(from, step).map(|window| window.from.to_string());
        assert_eq!(begin("", 0), Ok("2026-01-02T11:59:55Z".into()));
        assert_eq!(begin("", 300), Ok("2026-01-02T11:55:00Z".into()));
        assert_eq!(
            begin("2026-01-02T11:00:00Z", 60),
            Ok("2026-01-02T11:00:00Z".into())
        );
        assert_eq!(
            begin("2026-01-02T12:00:09Z", 60),
            Ok("2026-01-02T12:00:00Z".into())
        );
        assert!(of("2020-01-02T11:00:00Z", 1).is_err());
    }
}
