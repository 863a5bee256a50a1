//! How long a request waits for its operation.

use std::time::{Duration, Instant};

use maestro_api::RequestContext;
use serde::{Deserialize, Deserializer};

/// The longest wait: longer than any operation takes.
const MOST: Duration = Duration::from_hours(24);

/// A time such as `30s`, `500ms`, `5m` or `1h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait(Duration);

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refused = || {
            let text = format!("invalid wait {text:?}: say how long, such as 30s, 500ms or 5m");
            serde::de::Error::custom(text)
        };
        parsed(&text).ok_or_else(refused)
    }
}

fn parsed(text: &str) -> Option<Wait> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let wait = Duration::from_millis(number.checked_mul(millis)?);
    (wait <= MOST).then_some(Wait(wait))
}

impl Wait {
    /// Whether the request does not wait at all.
    pub fn is_none(self) -> bool {
        self.0.is_zero()
    }

    /// The context of a call that waits so long, or until its caller stops waiting.
    pub fn within(self, context: RequestContext) -> RequestContext {
        let end = Instant::now() + self.0;
        RequestContext {
            deadline: Some(context.deadline.map_or(end, |deadline| deadline.min(end))),
            ..context
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_and_a_unit() {
        for (text, millis) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                parsed(text),
                Some(Wait(Duration::from_millis(millis))),
                "{text}"
            );
        }
        for wrong in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "25h",
            "1d",
            "99999999999999999999s",
            "é",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
        assert!(parsed("0s").is_some_and(Wait::is_none));
    }
}
