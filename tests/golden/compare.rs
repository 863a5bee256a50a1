//! Compares an answer with the expected one, which may contain placeholders.

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const TIMESTAMP: &str =
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.(?:[0-9]{3}|[0-9]{6}|[0-9]{9}))?Z";
const TIMESTAMP_ANY: &str = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})";
/// How far a time may be from now.
const NEAR_SECONDS: i64 = 3600;

/// Each difference, with its path.
pub fn differences(expected: &Value, actual: &Value, path: &str) -> Vec<String> {
    let other = || vec![format!("{path}: expected {expected}, got {actual}")];
    match (expected, actual) {
        (Value::Object(wanted), Value::Object(given)) => {
            let mut found = Vec::new();
            for (key, value) in wanted {
                let given = given.get(key);
                let path = format!("{path}.{key}");
                match given {
                    Some(given) => found.extend(differences(value, given, &path)),
                    None => found.push(format!("{path}: missing, expected {value}")),
                }
            }
            let more = given.iter().filter(|(key, _)| !wanted.contains_key(*key));
            found.extend(more.map(|(key, value)| format!("{path}.{key}: unexpected, got {value}")));
            found
        }
        (Value::Array(wanted), Value::Array(given)) if wanted.len() == given.len() => {
            let pairs = wanted.iter().zip(given).enumerate();
            pairs
                .flat_map(|(at, (wanted, given))| {
                    differences(wanted, given, &format!("{path}[{at}]"))
                })
                .collect()
        }
        (Value::String(wanted), Value::String(given)) if matches(wanted, given) => Vec::new(),
        (Value::Number(wanted), Value::Number(given)) if wanted.as_f64() == given.as_f64() => {
            Vec::new()
        }
        _ if expected == actual => Vec::new(),
        _ => other(),
    }
}

fn matches(wanted: &str, given: &str) -> bool {
    if !wanted.contains('<') {
        return wanted == given;
    }
    let pattern = regex::escape(wanted)
        .replace("<uuid>", UUID)
        .replace("<timestamp>", TIMESTAMP)
        .replace(r"<timestamp\-any>", TIMESTAMP_ANY)
        .replace("<any>", "(?s:.*)");
    let pattern = Regex::new(&format!("^(?:{pattern})$")).expect("a regular expression");
    let is_time = wanted.starts_with("<timestamp");
    pattern.is_match(given) && (!is_time || is_near(given))
}

fn is_near(time: &str) -> bool {
    let time: Option<Timestamp> = time.parse().ok();
    time.is_some_and(|time| (Timestamp::now().as_second() - time.as_second()).abs() < NEAR_SECONDS)
}

/// Moves each item to its expected place, so that the order of the list does not matter.
pub fn arrange(list: &mut [Value], expected: &[Value]) {
    for (at, expected) in expected.iter().enumerate() {
        let far = |other: &usize| differences(expected, &list[*other], "").len();
        if let Some(nearest) = (at..list.len()).min_by_key(far) {
            list.swap(at, nearest);
        }
    }
}

/// Whether the keys of a document come in this order, as far as both have them.
pub fn is_in_order(order: &[String], document: &str) -> bool {
    let key = Regex::new(r#""((?:[^"\\]|\\.)*)": ?"#).expect("a regular expression");
    let keys = key.captures_iter(document);
    let keys: Vec<String> = keys.map(|found| found[1].to_owned()).collect();
    let given = keys.iter().filter(|key| order.contains(key));
    given.eq(order.iter().filter(|key| keys.contains(key)))
}
