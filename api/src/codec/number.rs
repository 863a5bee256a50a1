//! Numbers of proto-JSON: integers that may be written as floats, and floats in their shortest form (contract 2.1,
//! 15.3).

use std::fmt::Write;

use super::syntax;

/// Whether the whole text is one JSON number.
pub fn is_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'-' | b'0'..=b'9'))
        && syntax::number_end(bytes, 0) == Ok(bytes.len())
}

/// The integer that a JSON number represents: `2`, `2.0`, `20e-1` and `1e1` are integers, `2.5` is not.
pub fn integer(number: &str) -> Option<i128> {
    if let Ok(plain) = number.parse::<i64>() {
        return Some(i128::from(plain));
    }
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent),
        None => (number, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let trailing_zeros = digits().rev().take_while(|d| *d == b'0').count();
    let significant = digits().count() - trailing_zeros;
    if significant == 0 {
        return Some(0);
    }
    let scale = i64::from(exponent.parse::<i32>().ok()?) - i64::try_from(fraction.len()).ok()?
        + i64::try_from(trailing_zeros).ok()?;
    let leading_zeros = digits().take_while(|d| *d == b'0').count();
    // 20 digits hold every 64-bit integer; a longer number is out of range, and the value below cannot overflow.
    if scale < 0 || scale + i64::try_from(significant - leading_zeros).ok()? > 20 {
        return None;
    }
    let value = digits()
        .take(significant)
        .fold(0_i128, |value, d| value * 10 + i128::from(d - b'0'));
    let value = value * 10_i128.pow(u32::try_from(scale).ok()?);
    Some(if negative { -value } else { value })
}

/// Writes a float as the original does: shortest digits, an exponent only for very small and very large values.
macro_rules! write_float {
    ($name:ident, $float:ty) => {
        pub fn $name(out: &mut String, value: $float) {
            let size = value.abs();
            // Writing into a String cannot fail.
            let _ = if value.is_nan() {
                out.write_str("\"NaN\"")
            } else if value.is_infinite() {
                out.write_str(if value > 0.0 {
                    "\"Infinity\""
                } else {
                    "\"-Infinity\""
                })
            } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
                let text = format!("{value:e}");
                out.write_str(&if size >= 1e21 {
                    text.replace('e', "e+")
                } else {
                    text
                })
            } else {
                write!(out, "{value}")
            };
        }
    };
}

write_float!(write_f32, f32);
write_float!(write_f64, f64);

/// The number that a text accepted by the grammar stands for; an infinity beyond the range of a double.
pub fn double(raw: &[u8]) -> f64 {
    std::str::from_utf8(raw)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_may_be_written_as_floats() {
        for (text, expected) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("1e1", Some(10)),
            ("20e-1", Some(2)),
            ("1.5e1", Some(15)),
            ("-0", Some(0)),
            ("0e99", Some(0)),
            ("-0.00e99999999999", Some(0)),
            ("2.5", None),
            ("1e-1", None),
            ("1e300", None),
            ("1e99999999999", None),
            ("9223372036854775808", Some(9_223_372_036_854_775_808)),
            ("-9223372036854775808", Some(i128::from(i64::MIN))),
            ("0.00000000000000000000001e24", Some(10)),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn floats_print_in_shortest_form() {
        let print = |value| {
            let mut out = String::new();
            write_f32(&mut out, value);
            out
        };
        assert_eq!(print(0.1), "0.1");
        assert_eq!(print(0.99), "0.99");
        assert_eq!(print(2.0), "2");
        assert_eq!(print(1e21), "1e+21");
        assert_eq!(print(1e-7), "1e-7");
        assert_eq!(print(f32::NAN), "\"NaN\"");
    }
}
