//! How the text of a setting is parsed, bounded and printed. One form per kind of value.

use super::{RuntimeKind, StoreKind};
use maestro_core::domain::PortRange;
use maestro_core::duration;
use maestro_http::{TrustedHost, TrustedOrigin};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Go stores a duration in an `i64` of nanoseconds: nothing longer is possible.
const MILLIS_MAX: u64 = i64::MAX as u64 / 1_000_000;
/// More is a typing error, and would be allocated.
const COUNT_MAX: u64 = 10_000_000;
const THREADS_MAX: u64 = 1024;

/// `Ok(None)`: a value that stands for the default.
pub type Read<T> = Result<Option<T>, String>;

/// The form of a value.
pub struct Form<T> {
    /// For tables: the type of the value, or its unit.
    pub unit: &'static str,
    /// The expected form, for error messages.
    pub expected: &'static str,
    pub read: fn(&str) -> Read<T>,
    pub show: fn(&T) -> String,
}

pub const TEXT: Form<String> = Form {
    unit: "text",
    expected: "a text that is not empty",
    read: |text| Ok(Some(filled(text)?.to_owned())),
    show: String::clone,
};

/// Empty: not set.
pub const OPTIONAL_TEXT: Form<Option<String>> = Form {
    unit: "text",
    expected: "a text",
    read: |text| Ok(Some(Some(text.to_owned()).filter(|text| !text.is_empty()))),
    show: |value| value.clone().unwrap_or_default(),
};

pub const PATH: Form<PathBuf> = Form {
    unit: "path",
    expected: "a path that is not empty",
    read: |text| Ok(Some(filled(text)?.into())),
    show: |path| path.display().to_string(),
};

/// Empty: not set.
pub const OPTIONAL_PATH: Form<Option<PathBuf>> = Form {
    unit: "path",
    expected: "a path",
    read: |text| Ok(Some(Some(text.into()).filter(|_| !text.is_empty()))),
    show: |path| {
        let path = path.as_ref();
        path.map_or(String::new(), |path| path.display().to_string())
    },
};

pub const FLAG: Form<bool> = Form {
    unit: "true/false",
    expected: "true or false",
    read: |text| flag(text).map(Some).ok_or_else(String::new),
    show: bool::to_string,
};

pub const AUTO_FLAG: Form<Option<bool>> = Form {
    unit: "auto/true/false",
    expected: "auto, true or false",
    read: |text| match text.trim().eq_ignore_ascii_case("auto") {
        true => Ok(Some(None)),
        false => flag(text)
            .map(|flag| Some(Some(flag)))
            .ok_or_else(String::new),
    },
    show: |flag| flag.map_or("auto".to_owned(), |flag| flag.to_string()),
};

pub const PORT: Form<u16> = Form {
    unit: "port",
    expected: "a port between 0 and 65535 (0: any free one)",
    read: |text| whole(text, 0, u16::MAX.into()),
    show: u16::to_string,
};

/// First and last number, both inclusive.
pub const PORT_RANGE: Form<PortRange> = Form {
    unit: "N-M",
    expected: "two ports between 1 and 65535 as N-M, N not above M, such as 60001-60010",
    read: |text| {
        let (start, end) = text.split_once('-').ok_or_else(String::new)?;
        let port = |text: &str| match text.trim().parse::<u16>() {
            Ok(port) if port > 0 => Ok(i32::from(port)),
            _ => Err(String::new()),
        };
        let (start, end) = (port(start)?, port(end)?);
        match start <= end {
            true => Ok(Some(PortRange { start, end })),
            false => Err(String::new()),
        }
    },
    show: |range| format!("{}-{}", range.start, range.end),
};

pub const COUNT: Form<usize> = Form {
    unit: "count",
    expected: "a number between 1 and 10000000",
    read: |text| whole(text, 1, COUNT_MAX),
    show: usize::to_string,
};

/// The active version and the one before it are always kept.
pub const VERSIONS: Form<usize> = Form {
    unit: "count",
    expected: "a number between 2 and 10000000",
    read: |text| whole(text, 2, COUNT_MAX),
    show: usize::to_string,
};

pub const AUTO_THREADS: Form<Option<usize>> = Form {
    unit: "threads",
    expected: "auto, or a number between 1 and 1024",
    read: |text| match text.trim().eq_ignore_ascii_case("auto") {
        true => Ok(Some(None)),
        false => Ok(whole(text, 1, THREADS_MAX)?.map(Some)),
    },
    show: |threads| threads.map_or("auto".to_owned(), |threads| threads.to_string()),
};

/// Zero and less mean the default (contract 1.4).
pub const LIMIT: Form<i32> = Form {
    unit: "count",
    expected: "a number up to 10000000 (0 and less: the shipped value)",
    read: limit,
    show: i32::to_string,
};

/// Zero and less mean the default (contract 1.4).
pub const LIMIT_SIZE: Form<usize> = Form {
    unit: "count",
    expected: "a number up to 10000000 (0 and less: the shipped value)",
    read: limit,
    show: usize::to_string,
};

/// Less than one attempt is one (contract 1.4); each starts a room.
pub const ATTEMPTS: Form<u32> = Form {
    unit: "count",
    expected: "a number up to 100 (less than 1 is 1)",
    read: |text| match text.trim().parse::<i64>() {
        Ok(n) if n <= 100 => Ok(Some(n.max(1) as u32)),
        _ => Err(String::new()),
    },
    show: u32::to_string,
};

/// For sizes of later components: zero means their own default.
pub const SIZE: Form<usize> = Form {
    unit: "count",
    expected: "a number between 0 and 10000000",
    read: |text| whole(text, 0, COUNT_MAX),
    show: usize::to_string,
};

pub const DURATION: Form<Duration> = Form {
    unit: "duration",
    expected: "a duration such as 30s, 1h30m or 250ms (a bare number is nanoseconds)",
    read: |text| go_duration(text).map(Some),
    show: |value| duration::show(*value),
};

/// A period: zero would be a busy loop.
pub const PERIOD: Form<Duration> = Form {
    unit: "duration",
    expected: "a duration of at least 1ms, such as 30s, 1h30m or 250ms (a bare number is nanoseconds)",
    read: |text| match go_duration(text)? {
        period if period < Duration::from_millis(1) => Err("it is shorter than 1ms".into()),
        period => Ok(Some(period)),
    },
    show: |value| duration::show(*value),
};

/// Zero and less mean the default (contract 1.4).
pub const PERIOD_OR_SHIPPED: Form<Duration> = Form {
    unit: "duration",
    expected: "a duration such as 30s, 1h30m or 250ms (0 and less: the shipped value; a bare number is nanoseconds)",
    read: |text| {
        let text = text.trim();
        let minus = text.starts_with('-');
        let period = go_duration(text.strip_prefix('-').unwrap_or(text))?;
        match period {
            period if minus || period.is_zero() => Ok(None),
            period if period < Duration::from_millis(1) => Err("it is shorter than 1ms".into()),
            period => Ok(Some(period)),
        }
    },
    show: |value| duration::show(*value),
};

/// Zero: forever.
pub const OPTIONAL_DURATION: Form<Option<Duration>> = Form {
    unit: "duration",
    expected: DURATION.expected,
    read: |text| Ok(Some(Some(go_duration(text)?).filter(|d| !d.is_zero()))),
    show: |value| duration::show(value.unwrap_or_default()),
};

/// Keys that end in `Millis` are plain numbers.
pub const MILLIS: Form<Duration> = Form {
    unit: "ms",
    expected: "a whole number of milliseconds without a unit, such as 30000",
    read: |text| Ok(whole(text, 0, MILLIS_MAX)?.map(Duration::from_millis)),
    show: |value| value.as_millis().to_string(),
};

/// As `MILLIS`; zero switches the feature off.
pub const OPTIONAL_MILLIS: Form<Option<Duration>> = Form {
    unit: "ms",
    expected: MILLIS.expected,
    read: |text| {
        let millis = whole(text, 0, MILLIS_MAX)?;
        Ok(millis.map(|n| (n > 0).then(|| Duration::from_millis(n))))
    },
    show: |value| value.unwrap_or_default().as_millis().to_string(),
};

/// As `MILLIS`; zero would be a busy loop.
pub const PERIOD_MILLIS: Form<Duration> = Form {
    unit: "ms",
    expected: "a whole number of milliseconds above 0 without a unit, such as 30000",
    read: |text| Ok(whole(text, 1, MILLIS_MAX)?.map(Duration::from_millis)),
    show: |value| value.as_millis().to_string(),
};

/// A lease is renewed at half its duration: a shorter one would keep its owner busy.
pub const LEASE_MILLIS: Form<Duration> = Form {
    unit: "ms",
    expected: "a whole number of milliseconds from 100 without a unit, such as 5000",
    read: |text| Ok(whole(text, 100, MILLIS_MAX)?.map(Duration::from_millis)),
    show: |value| value.as_millis().to_string(),
};

/// Keys that end in `Seconds` are plain numbers.
pub const PERIOD_SECONDS: Form<Duration> = Form {
    unit: "s",
    expected: "a whole number of seconds above 0 without a unit, such as 60",
    read: |text| Ok(whole(text, 1, MILLIS_MAX / 1000)?.map(Duration::from_secs)),
    show: |value| value.as_secs().to_string(),
};

/// Outside 0.05 to 1 means the default (contract 1.4).
pub const SAFETY: Form<f64> = Form {
    unit: "share",
    expected: "a number such as 0.05 (below 0.05, or 1 and above: the shipped value)",
    read: |text| match text.trim().parse::<f64>() {
        Ok(share) if share.is_nan() => Err(String::new()),
        Ok(share) => Ok(Some(share).filter(|share| (0.05..1.0).contains(share))),
        Err(_) => Err(String::new()),
    },
    show: f64::to_string,
};

/// The share of traced requests.
pub const RATIO: Form<f64> = Form {
    unit: "share",
    expected: "a number between 0 and 1, such as 0.1",
    read: |text| match text.trim().parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
        _ => Err(String::new()),
    },
    show: f64::to_string,
};

pub const STORE: Form<StoreKind> = Form {
    unit: "name",
    expected: "auto, embedded or postgres",
    read: |text| {
        named(
            text,
            &[StoreKind::Auto, StoreKind::Embedded, StoreKind::Postgres],
        )
    },
    show: StoreKind::to_string,
};

pub const RUNTIME: Form<RuntimeKind> = Form {
    unit: "name",
    expected: "auto, process, simulated or kubernetes",
    read: |text| {
        use RuntimeKind::{Auto, Kubernetes, Process, Simulated};
        named(text, &[Auto, Process, Simulated, Kubernetes])
    },
    show: RuntimeKind::to_string,
};

/// Names separated by commas, or a YAML list.
pub const HOSTS: Form<Vec<TrustedHost>> = Form {
    unit: "list",
    expected: "host names separated by commas, such as maestro.example,maestro.local",
    read: list,
    show: |all| joined(all),
};

/// As `HOSTS`.
pub const ORIGINS: Form<Vec<TrustedOrigin>> = Form {
    unit: "list",
    expected: "origins separated by commas, such as https://tools.example,http://10.0.0.1:3000",
    read: list,
    show: |all| joined(all),
};

/// A YAML list arrives as JSON.
pub fn list<T: FromStr<Err: Display>>(text: &str) -> Read<Vec<T>> {
    let parts: Vec<String> = match text.trim_start().starts_with('[') {
        // An address in brackets may come first.
        true => serde_json::from_str(text)
            .unwrap_or_else(|_| text.split(',').map(str::to_owned).collect()),
        false => text.split(',').map(str::to_owned).collect(),
    };
    let parts = parts.iter().map(|part| part.trim());
    let parsed = parts.filter(|part| !part.is_empty()).map(str::parse);
    let all: Result<Vec<T>, T::Err> = parsed.collect();
    all.map(Some).map_err(|error| error.to_string())
}

pub fn joined<T: Display>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(T::to_string).collect();
    all.join(",")
}

fn filled(text: &str) -> Result<&str, String> {
    match text.trim().is_empty() {
        true => Err("it is empty".into()),
        false => Ok(text),
    }
}

fn named<T: Copy + ToString>(text: &str, all: &[T]) -> Read<T> {
    let wanted = text.trim();
    let found = all
        .iter()
        .find(|kind| kind.to_string().eq_ignore_ascii_case(wanted));
    found.map(|kind| Some(*kind)).ok_or_else(String::new)
}

fn whole<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Read<T> {
    let number = text.trim().parse::<u64>().map_err(|_| String::new())?;
    match T::try_from(number) {
        Ok(value) if (least..=most).contains(&number) => Ok(Some(value)),
        _ => Err(String::new()),
    }
}

fn limit<T: TryFrom<u64>>(text: &str) -> Read<T> {
    match text.trim().parse::<i64>() {
        Ok(n) if n <= 0 => Ok(None),
        _ => whole(text, 1, COUNT_MAX),
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "t" => Some(true),
        "false" | "0" | "f" => Some(false),
        _ => None,
    }
}

/// Go's syntax; a bare integer means nanoseconds (contract 1.3).
fn go_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(nanos) => match u64::try_from(nanos) {
            Ok(nanos) => Ok(Duration::from_nanos(nanos)),
            Err(_) => Err("it is negative".into()),
        },
        Err(_) => duration::parse(text).map_err(|error| error.to_string()),
    }
}
