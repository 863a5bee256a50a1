//! `google.protobuf.Duration` and `Timestamp` (contract 2.1, 15.4).

use std::fmt::Write;

use jiff::Timestamp;

use super::declaration::Type;
use super::reader::{Fault, Reader};
use super::value::Json;

/// Longest span that the contract accepts, in seconds, in both directions.
const SECONDS_MAX: u64 = 315_576_000_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A span of time as the wire carries it; both fields have the same sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duration {
    /// Whole seconds.
    pub seconds: i64,
    /// The fraction of a second, in nanoseconds.
    pub nanos: i32,
}

impl Duration {
    /// Nanoseconds, saturated: the contract accepts spans of 10,000 years, but 64 bits of nanoseconds are stored.
    pub fn to_nanos(self) -> i64 {
        self.seconds
            .saturating_mul(NANOS_PER_SECOND)
            .saturating_add(i64::from(self.nanos))
    }

    /// A span of this many nanoseconds.
    pub fn from_nanos(nanos: i64) -> Self {
        // The remainder of a division by 10^9 fits 32 bits.
        Self {
            seconds: nanos / NANOS_PER_SECOND,
            nanos: (nanos % NANOS_PER_SECOND) as i32,
        }
    }

    /// Parses `"90s"`, `"+1.5s"`, `".5s"`, `"1.s"`; and `"100"` as seconds, as the seed data writes it (decision D14).
    fn parse(text: &str) -> Result<Self, &'static str> {
        const INVALID: &str = "invalid google.protobuf.Duration value";
        let plain_seconds = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = if plain_seconds {
            text
        } else {
            text.strip_suffix('s').ok_or(INVALID)?
        };
        let (negative, number) = match number.strip_prefix(['+', '-']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, number),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all_digits = whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit());
        // `.s` is accepted as zero, as the original does.
        if !all_digits || number.is_empty() || fraction.len() > 9 {
            return Err(INVALID);
        }
        // Extra leading zeros are not accepted.
        if whole.len() > 1 && whole.starts_with('0') && !plain_seconds {
            return Err(INVALID);
        }
        let seconds = if whole.is_empty() {
            0
        } else {
            whole.parse::<u64>().unwrap_or(u64::MAX)
        };
        if seconds > SECONDS_MAX {
            return Err("google.protobuf.Duration value out of range:");
        }
        let nanos = format!("{fraction:0<9}")
            .parse::<i32>()
            .map_err(|_| INVALID)?;
        let seconds = i64::try_from(seconds).map_err(|_| INVALID)?;
        Ok(if negative {
            Self {
                seconds: -seconds,
                nanos: -nanos,
            }
        } else {
            Self { seconds, nanos }
        })
    }
}

impl Json for Duration {
    const TYPE: Type = Type::Duration;

    fn read(reader: &mut Reader<'_>, _field: &'static str) -> Result<Self, Fault> {
        reader.peek();
        let place = reader.bookmark();
        let text = reader.string()?;
        Self::parse(&text).map_err(|why| place.fault(format!("{why} {}", place.token())))
    }

    fn write(&self, out: &mut String) {
        let sign = if self.seconds < 0 || self.nanos < 0 {
            "-"
        } else {
            ""
        };
        // Writing into a String cannot fail.
        let _ = write!(out, "\"{sign}{}", self.seconds.unsigned_abs());
        write_fraction(out, self.nanos.unsigned_abs());
        out.push_str("s\"");
    }
}

/// Writes nanoseconds with 0, 3, 6 or 9 decimals.
fn write_fraction(out: &mut String, nanos: u32) {
    let _ = match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(out, ".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => write!(out, ".{:06}", n / 1_000),
        n => write!(out, ".{n:09}"),
    };
}

impl Json for Timestamp {
    const TYPE: Type = Type::Timestamp;

    fn read(reader: &mut Reader<'_>, _field: &'static str) -> Result<Self, Fault> {
        reader.peek();
        let place = reader.bookmark();
        let text = reader.string()?;
        parse_timestamp(&text).ok_or_else(|| {
            place.fault(format!(
                "invalid google.protobuf.Timestamp value {}",
                place.token()
            ))
        })
    }

    fn write(&self, out: &mut String) {
        let text = self.strftime("%Y-%m-%dT%H:%M:%S");
        // For times before the epoch jiff's fraction is negative; on the wire it counts forward. strftime has adjusted
        // the seconds, and this adjusts the fraction.
        let nanos = self.subsec_nanosecond().rem_euclid(1_000_000_000);
        let _ = write!(out, "\"{text}");
        write_fraction(out, nanos.unsigned_abs());
        out.push_str("Z\"");
    }
}

/// Accepts RFC 3339 only: jiff's own parser accepts more.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (date_time, zone) = match text.strip_suffix('Z') {
        Some(rest) => (rest, "Z"),
        None => text.split_at_checked(text.len().checked_sub(6)?)?,
    };
    let bytes = date_time.as_bytes();
    let shaped = bytes.len() >= 19
        && bytes[..19]
            .iter()
            .zip(b"0000-00-00T00:00:00")
            .all(|(b, shape)| match shape {
                b'0' => b.is_ascii_digit(),
                mark => b == mark,
            })
        && (bytes.len() == 19
            || bytes[19] == b'.'
                && (21..=29).contains(&bytes.len())
                && bytes[20..].iter().all(u8::is_ascii_digit))
        && (zone == "Z" || zone.starts_with(['+', '-']) && zone.as_bytes().get(3) == Some(&b':'));
    if shaped { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed<T: Json>(value: &T) -> String {
        let mut out = String::new();
        value.write(&mut out);
        out
    }

    #[test]
    fn durations_follow_the_contract() {
        for (text, expected) in [
            ("100s", Ok("\"100s\"")),
            ("+1s", Ok("\"1s\"")),
            (".5s", Ok("\"0.500s\"")),
            ("1.s", Ok("\"1s\"")),
            ("-0.5s", Ok("\"-0.500s\"")),
            ("0.000000015s", Ok("\"0.000000015s\"")),
            ("315576000000s", Ok("\"315576000000s\"")),
            ("100", Ok("\"100s\"")),
            ("315576000001s", Err(())),
            ("1m", Err(())),
            ("100ms", Err(())),
            ("100S", Err(())),
            ("1e3s", Err(())),
            (" 1s", Err(())),
            ("s", Err(())),
            (".s", Ok("\"0s\"")),
            ("+s", Err(())),
            ("", Err(())),
            ("0.0000000001s", Err(())),
        ] {
            let got = Duration::parse(text).map(|d| printed(&d)).map_err(drop);
            assert_eq!(got.as_deref(), expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn long_durations_saturate_in_nanoseconds() {
        let long = Duration {
            seconds: 315_576_000_000,
            nanos: 0,
        };
        assert_eq!(
            printed(&Duration::from_nanos(long.to_nanos())),
            "\"9223372036.854775807s\""
        );
    }

    #[test]
    fn timestamps_print_in_utc() {
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", Some("\"2026-01-02T03:04:05Z\"")),
            (
                "2026-01-02T05:04:05.678+02:00",
                Some("\"2026-01-02T03:04:05.678Z\""),
            ),
            (
                "2026-01-02T03:04:05.678901Z",
                Some("\"2026-01-02T03:04:05.678901Z\""),
            ),
            ("0001-01-01T00:00:00Z", Some("\"0001-01-01T00:00:00Z\"")),
            (
                "1969-12-31T23:59:59.5Z",
                Some("\"1969-12-31T23:59:59.500Z\""),
            ),
            ("2026-01-02 03:04:05Z", None),
            ("2026-01-02T03:04:05", None),
            ("2026-13-02T03:04:05Z", None),
        ] {
            assert_eq!(
                parse_timestamp(text).map(|t| printed(&t)).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
