//! Every numeric field of every request, at and beyond its limits (contract 2.1, 15.3).

use serde_json::Value;

use super::messages::*;
use super::{Declaration, FieldKind, Message, Type, decode, encode};
use crate::{management_calls, rooms_calls};

/// Spellings of numbers, with the integer that each represents, if it is one.
const NUMBERS: &[(&str, Option<i128>)] = &[
    ("0", Some(0)),
    ("-0", Some(0)),
    ("-0.0", Some(0)),
    ("1", Some(1)),
    ("-1", Some(-1)),
    ("1.0", Some(1)),
    ("1e0", Some(1)),
    ("10e-1", Some(1)),
    ("1.5", None),
    ("1e-400", None),
    ("-1e-400", None),
    ("0e400", Some(0)),
    ("1e400", None),
    ("-1e400", None),
    ("1e2147483648", None),
    ("1e-2147483649", None),
    ("1e99999999999999999999", None),
    ("2147483647", Some(2_147_483_647)),
    ("2147483648", Some(2_147_483_648)),
    ("-2147483648", Some(-2_147_483_648)),
    ("-2147483649", Some(-2_147_483_649)),
    ("4294967295", Some(4_294_967_295)),
    ("4294967296", Some(4_294_967_296)),
    ("9007199254740993", Some(9_007_199_254_740_993)),
    ("9223372036854775807", Some(9_223_372_036_854_775_807)),
    ("9223372036854775808", Some(9_223_372_036_854_775_808)),
    ("-9223372036854775808", Some(-9_223_372_036_854_775_808)),
    ("-9223372036854775809", Some(-9_223_372_036_854_775_809)),
    ("18446744073709551616", Some(18_446_744_073_709_551_616)),
    ("99999999999999999999999999999999999999999999", None),
    ("9.223372036854775807e18", Some(9_223_372_036_854_775_807)),
    ("3.4028234663852886e38", None),
    ("3.5e38", None),
    ("1.1754943508222875e-38", None),
    ("1.7976931348623157e308", None),
    ("5e-324", None),
];

/// Texts that are not numbers, whether written plainly or as a string.
const RUBBISH: &[&str] = &[
    "+1", "01", "1.", ".5", "0x10", "1_000", "--1", "1e", "NaN", "Infinity", "１",
];
const RUBBISH_TEXTS: &[&str] = &[
    "", " 1", "1 ", "1\\n", "0x10", "+1", "01", "nan", "infinity", "1,5", "1e", "\\u0000",
];

/// What a value of this type is printed as after it was read; `None` if it is rejected.
fn expected(of: Type, text: &str, integer: Option<i128>) -> Option<Value> {
    match of {
        Type::Int32 => integer.and_then(|n| i32::try_from(n).ok()).map(Value::from),
        Type::Uint32 => integer.and_then(|n| u32::try_from(n).ok()).map(Value::from),
        Type::Int64 => integer
            .and_then(|n| i64::try_from(n).ok())
            .map(|n| n.to_string().into()),
        Type::Uint64 => integer
            .and_then(|n| u64::try_from(n).ok())
            .map(|n| n.to_string().into()),
        Type::Double => {
            let value: f64 = text.parse().expect("a number");
            value.is_finite().then(|| value.into())
        }
        _ => {
            let value: f32 = text.parse().expect("a number");
            value.is_finite().then(|| value.into())
        }
    }
}

/// Compares values; floats are compared with 32-bit precision.
fn same(of: Type, printed: &Value, wanted: &Value) -> bool {
    match of {
        Type::Float => printed.as_f64().map(|n| n as f32) == wanted.as_f64().map(|n| n as f32),
        _ => printed == wanted,
    }
}

/// The paths to every numeric field: names of members, with `[]` for a list in between.
fn numeric(
    message: &'static Declaration,
    at: &[&'static str],
    found: &mut Vec<(Vec<&'static str>, Type)>,
) {
    for field in message.fields {
        let mut way = at.to_vec();
        way.push(field.json);
        if field.kind == FieldKind::Many {
            way.push("[]");
        }
        match field.of {
            Type::Int32
            | Type::Uint32
            | Type::Int64
            | Type::Uint64
            | Type::Float
            | Type::Double => {
                found.push((way, field.of));
            }
            Type::Message(part) => numeric(part, &way, found),
            _ => {}
        }
    }
}

fn body(way: &[&str], value: &str) -> String {
    way.iter()
        .rev()
        .fold(value.to_owned(), |inner, step| match *step {
            "[]" => format!("[{inner}]"),
            name => format!("{{\"{name}\":{inner}}}"),
        })
}

fn follow<'v>(way: &[&str], value: &'v Value) -> &'v Value {
    way.iter().fold(value, |at, step| match *step {
        "[]" => &at[0],
        name => &at[name],
    })
}

/// Returns the number of fields checked.
fn check<M: Message>() -> usize {
    let mut fields = Vec::new();
    numeric(M::DECLARATION, &[], &mut fields);
    for (way, of) in &fields {
        for (text, integer) in NUMBERS {
            let wanted = expected(*of, text, *integer);
            for written in [(*text).to_owned(), format!("\"{text}\"")] {
                let body = body(way, &written);
                let read = decode::<M>(body.as_bytes()).map(|message| {
                    let printed: Value = serde_json::from_str(&encode(&message)).expect("JSON");
                    follow(way, &printed).clone()
                });
                let fits = match (&read, &wanted) {
                    (Ok(printed), Some(wanted)) => same(*of, printed, wanted),
                    (Err(_), None) => true,
                    _ => false,
                };
                assert!(fits, "{body}: {read:?} instead of {wanted:?}");
            }
        }
        for rubbish in RUBBISH {
            let body = body(way, rubbish);
            assert!(decode::<M>(body.as_bytes()).is_err(), "{body}");
        }
        for rubbish in RUBBISH_TEXTS {
            let body = body(way, &format!("\"{rubbish}\""));
            assert!(decode::<M>(body.as_bytes()).is_err(), "{body}");
        }
    }
    fields.len()
}

macro_rules! check_all {
    ($api:ident { $($rpc:ident($request:ty) -> $answer:ty;)* }) => {
        [$(check::<$request>()),*]
    };
}

#[test]
fn numbers_at_every_limit_are_read_exactly_or_refused() {
    let management: usize = management_calls!(check_all).iter().sum();
    let rooms: usize = rooms_calls!(check_all).iter().sum();
    let fields = management + rooms;
    assert!(fields > 40, "only {fields} numeric fields were found");
}

/// Numbers in free objects: what a double cannot hold is rejected, anything else is returned as a double.
#[test]
fn numbers_within_free_objects_stay_within_a_double() {
    for (text, _) in NUMBERS {
        let double: f64 = text.parse().expect("a number");
        let body = format!("{{\"metadata\":{{\"n\":[{text}]}}}}");
        match decode::<UpdateRoomWithPingRequest>(body.as_bytes()) {
            Ok(message) => {
                let printed = encode(&message);
                // Parsed from the text: serde_json may round the last digit differently.
                let number = printed.split(['[', ']']).nth(1).expect("a list");
                assert_eq!(number.parse(), Ok(double), "{text}: {printed}");
            }
            Err(_) => assert!(!double.is_finite(), "{text}"),
        }
    }
}
