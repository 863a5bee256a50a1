//! Durations in Go syntax (`30s`, `1h30m`, `250ms`, `1.5s`), the form that Maestro's settings and flags have always
//! had.
//!
//! No published crate reads exactly this form: they lack fractions, or accept units such as `M` and `y` that Go does
//! not have.

use std::time::Duration;

/// Why a text is not a valid duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is not a duration at all.
    #[error("invalid duration {0:?}: write it as 30s, 1h30m or 250ms")]
    Syntax(String),
    /// A number without a unit.
    #[error("unit missing in duration {0:?}: write it as 30s, 1h30m or 250ms")]
    UnitMissing(String),
    /// A unit that Go does not have.
    #[error("unknown unit {unit:?} in duration {text:?}: use ns, us, ms, s, m or h")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The unknown unit.
        unit: String,
    },
    /// It is negative.
    #[error("duration {0:?} is negative")]
    Negative(String),
    /// It does not fit 64 bits of nanoseconds.
    #[error("duration {0:?} is too long: at most 292 years")]
    TooLong(String),
}

/// Go keeps a duration in an `i64` of nanoseconds.
const NANOS_MAX: u128 = i64::MAX as u128;

/// Parses a non-negative duration. `0` needs no unit.
///
/// # Errors
/// For any other text; the message describes the expected form.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let body = text.strip_prefix('+').unwrap_or(text);
    if body == "0" {
        return Ok(Duration::ZERO);
    }
    if body.starts_with('-') {
        return Err(DurationError::Negative(text.to_owned()));
    }
    if body.is_empty() {
        return Err(DurationError::Syntax(text.to_owned()));
    }
    let mut nanos: u128 = 0;
    let mut rest = body;
    while !rest.is_empty() {
        let (part, after) = part(text, rest)?;
        nanos = nanos.saturating_add(part);
        rest = after;
    }
    if nanos > NANOS_MAX {
        return Err(DurationError::TooLong(text.to_owned()));
    }
    let nanos = u64::try_from(nanos).map_err(|_| DurationError::TooLong(text.to_owned()))?;
    Ok(Duration::from_nanos(nanos))
}

/// Formats a duration in the shortest form that [`parse`] accepts: `1h30m`, `250ms`, `0s`.
pub fn show(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let units = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let (mut text, mut rest) = (String::new(), nanos);
    for (unit, scale) in units {
        if rest >= scale {
            text.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    text
}

/// Parses one number with its unit: its nanoseconds, and the remaining text.
fn part<'a>(text: &str, rest: &'a str) -> Result<(u128, &'a str), DurationError> {
    let (whole, rest) = split_digits(rest);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Syntax(text.to_owned()));
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let scale = scale(text, unit)?;
    let too_long = || DurationError::TooLong(text.to_owned());
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| too_long())?
    };
    let whole = whole.checked_mul(scale).ok_or_else(too_long)?;
    Ok((whole.saturating_add(fraction_of(scale, fraction)), rest))
}

/// `fraction` holds the decimals after the point; digits below a nanosecond are truncated, as in Go.
fn fraction_of(scale: u128, fraction: &str) -> u128 {
    let (mut sum, mut place) = (0, scale * 1_000_000);
    for digit in fraction.bytes() {
        place /= 10;
        sum += place * u128::from(digit - b'0');
    }
    sum / 1_000_000
}

fn scale(text: &str, unit: &str) -> Result<u128, DurationError> {
    Ok(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err(DurationError::UnitMissing(text.to_owned())),
        other => {
            return Err(DurationError::UnknownUnit {
                text: text.to_owned(),
                unit: other.to_owned(),
            });
        }
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let cases = [
            ("0", 0),
            ("+5s", 5_000_000_000),
            ("30s", 30_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("2h45m30.25s", 9_930_250_000_000),
            ("10us", 10_000),
            ("10µs", 10_000),
            ("7ns", 7),
            ("1.9ns", 1),
            ("100h", 360_000_000_000_000),
            ("1s1s", 2_000_000_000),
            ("9223372036854775807ns", i64::MAX as u64),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1s500ms"),
            (30_000_000_000, "30s"),
            (5_400_000_000_000, "1h30m"),
            (86_400_000_000_000, "24h"),
            (10_001, "10us1ns"),
        ];
        for (nanos, text) in cases {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(show(duration), text);
            assert_eq!(parse(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses_and_negative_time() {
        for text in ["", "+", ".", "s", ".s", "5 s", " 5s", "5s ", "1h-5m", "x"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(matches!(parse("30"), Err(DurationError::UnitMissing(_))));
        assert!(matches!(parse("1.5"), Err(DurationError::UnitMissing(_))));
        assert!(matches!(parse("-5s"), Err(DurationError::Negative(_))));
        for text in ["1d", "5S", "5sec", "5M"] {
            assert!(
                matches!(parse(text), Err(DurationError::UnknownUnit { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for text in [
            "9223372036854775808ns",
            "3000000h",
            "99999999999999999999999999999999999999999999h",
        ] {
            assert!(
                matches!(parse(text), Err(DurationError::TooLong(_))),
                "{text}"
            );
        }
    }
}
