//! Attributes of an event as text, in the format that receivers expect: Go's default formatting of JSON values, in
//! which every number is a double (contract 6.3).

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The attributes that are sent. Sorted, so that the same event always encodes to the same bytes.
pub(super) type Attributes = BTreeMap<String, String>;

/// Renders each value of an object.
pub(super) fn render(object: &Map<String, Value>) -> Attributes {
    let pairs = object.iter();
    pairs
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

/// One value as Go's `%v` formats it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => {
            let mut out = String::new();
            write(&mut out, other);
            out
        }
    }
}

/// Recursion is limited by `serde_json`, which parses at most 128 levels.
fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(object) => {
            let sorted: BTreeMap<&String, &Value> = object.iter().collect();
            out.push_str("map[");
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                write(out, value);
            }
            out.push(']');
        }
    }
}

/// Go's `%g` with the shortest precision: the exponent has at least two digits and is used below 1e-4 and from 1e6 on.
fn write_number(out: &mut String, number: f64) {
    let shortest = format!("{number:e}");
    // Only NaN and the infinities lack an exponent, and JSON has neither.
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = if (-4..6).contains(&exponent) {
        write!(out, "{number}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.abs())
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON values, and what Go's `fmt.Sprint` prints for them after decoding to `float64`, map or slice.
    const TABLE: &[(&str, &str)] = &[
        (r#""text""#, "text"),
        (r#""""#, ""),
        (r#""café ☃""#, "café ☃"),
        ("true", "true"),
        ("false", "false"),
        ("null", "<nil>"),
        ("0", "0"),
        ("-0.0", "-0"),
        ("245", "245"),
        ("-3", "-3"),
        ("1.5", "1.5"),
        ("100000", "100000"),
        ("999999", "999999"),
        ("999999.5", "999999.5"),
        ("1000000", "1e+06"),
        ("1234567", "1.234567e+06"),
        ("123456789.25", "1.2345678925e+08"),
        ("1e21", "1e+21"),
        ("1e100", "1e+100"),
        ("0.1", "0.1"),
        ("0.0001", "0.0001"),
        ("0.00012345", "0.00012345"),
        ("0.00001", "1e-05"),
        ("1e-7", "1e-07"),
        ("-1.25e-300", "-1.25e-300"),
        // Beyond the integers that a double represents exactly.
        ("9007199254740993", "9.007199254740992e+15"),
        ("18446744073709551615", "1.8446744073709552e+19"),
        ("[]", "[]"),
        (r#"[1, "x", null, [2.5, false]]"#, "[1 x <nil> [2.5 false]]"),
        (r#"["", ""]"#, "[ ]"),
        ("{}", "map[]"),
        (r#"{"b": 1, "a": {"c": "d"}}"#, "map[a:map[c:d] b:1]"),
        (
            r#"{"é": 1, "z": [{}], "A": null}"#,
            "map[A:<nil> z:[map[]] é:1]",
        ),
    ];

    #[test]
    fn values_are_written_as_go_writes_them() {
        for (json, expected) in TABLE {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(text(&value), *expected, "of {json}");
        }
    }

    #[test]
    fn every_value_of_an_object_becomes_a_text() {
        let object = serde_json::from_str(r#"{"n": 1e6, "s": "x"}"#).unwrap();
        let expected = [("n", "1e+06"), ("s", "x")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(render(&object), Attributes::from(expected));
    }
}
