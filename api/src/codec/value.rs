//! How each scalar type is read from and written to proto-JSON (contract 2.1).

use std::fmt::Write;

use super::declaration::Type;
use super::number;
use super::reader::{Fault, Reader};

/// A type that can be the value of a field.
pub trait Json: Sized {
    /// The type's name in declarations.
    const TYPE: Type;

    /// Reads one value; the caller has handled null. `field` is the field's name for error messages.
    ///
    /// # Errors
    /// When the text is not a value of this type.
    fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, Fault>;

    /// Writes the value as JSON.
    fn write(&self, out: &mut String);

    /// Parses a path or query parameter; `None` for types that cannot be one.
    fn from_parameter(_text: &str) -> Option<Result<Self, String>> {
        None
    }
}

/// Writes a JSON string with its quotes.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(position) = rest
        .bytes()
        .position(|b| b < 0x20 || b == b'"' || b == b'\\')
    {
        out.push_str(&rest[..position]);
        let byte = rest.as_bytes()[position];
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            // Writing into a String cannot fail.
            _ => drop(write!(out, "\\u{byte:04x}")),
        }
        rest = &rest[position + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn mismatch(reader: &Reader<'_>, kind: &str, field: &str) -> Fault {
    reader.fault(format!(
        "invalid value for {kind} field {field}: {}",
        reader.token()
    ))
}

impl Json for String {
    const TYPE: Type = Type::Text;

    fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, Fault> {
        if reader.peek() != Some(b'"') {
            return Err(mismatch(reader, "string", field));
        }
        reader.string().map(std::borrow::Cow::into_owned)
    }
    fn write(&self, out: &mut String) {
        write_string(out, self);
    }
    fn from_parameter(text: &str) -> Option<Result<Self, String>> {
        Some(Ok(text.to_owned()))
    }
}

impl Json for bool {
    const TYPE: Type = Type::Bool;

    fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, Fault> {
        reader.peek();
        if reader.take_word("true") {
            Ok(true)
        } else if reader.take_word("false") {
            Ok(false)
        } else {
            Err(mismatch(reader, "bool", field))
        }
    }
    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }
}

/// The text of a number, which may be written as a number or as a string.
fn number_text<'a>(reader: &mut Reader<'a>) -> Option<std::borrow::Cow<'a, str>> {
    match reader.peek()? {
        b'-' | b'0'..=b'9' => reader.number().ok().map(std::borrow::Cow::Borrowed),
        b'"' => reader.string().ok(),
        _ => None,
    }
}

/// Runs `parse` on the number at the cursor. An error quotes the token as it was written.
fn parse_number<T>(
    reader: &mut Reader<'_>,
    kind: &str,
    field: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Fault> {
    reader.peek();
    let complaint = reader.bookmark();
    number_text(reader)
        .and_then(|text| parse(&text))
        .ok_or_else(|| mismatch(&complaint, kind, field))
}

macro_rules! integers {
    ($($type:ty: $of:ident, $kind:literal, $quoted:literal, $go_parser:literal;)*) => {$(
        impl Json for $type {
            const TYPE: Type = Type::$of;

            fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, Fault> {
                parse_number(reader, $kind, field, |text| {
                    // Rust's own parser accepts `+2` and `02`; the grammar does not.
                    number::is_number(text).then(|| number::integer(text))?.and_then(|n| Self::try_from(n).ok())
                })
            }
            fn write(&self, out: &mut String) {
                // 64-bit integers travel as strings (contract 2.1). Writing into a String cannot fail.
                let _ = if $quoted { write!(out, "\"{self}\"") } else { write!(out, "{self}") };
            }
            fn from_parameter(text: &str) -> Option<Result<Self, String>> {
                Some(parameter(text, $go_parser))
            }
        }
    )*};
}

integers! {
    i32: Int32, "int32", false, "ParseInt";
    u32: Uint32, "uint32", false, "ParseUint";
    i64: Int64, "int64", true, "ParseInt";
    u64: Uint64, "uint64", true, "ParseUint";
}

/// Parses a decimal parameter; errors are worded as Go's `strconv` words them.
fn parameter<T: TryFrom<i128>>(text: &str, parser: &str) -> Result<T, String> {
    let unsigned = parser == "ParseUint";
    let digits = if unsigned {
        text
    } else {
        text.strip_prefix(['-', '+']).unwrap_or(text)
    };
    let complain = |why| Err(format!("strconv.{parser}: parsing {text:?}: {why}"));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return complain("invalid syntax");
    }
    match text.parse::<i128>().ok().and_then(|n| T::try_from(n).ok()) {
        Some(value) => Ok(value),
        None => complain("value out of range"),
    }
}

/// Floats: NaN and the infinities are strings, anything else is a number or its text.
macro_rules! floats {
    ($($type:ty: $of:ident, $kind:literal, $write:ident;)*) => {$(
        impl Json for $type {
            const TYPE: Type = Type::$of;

            fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, Fault> {
                let quoted = reader.peek() == Some(b'"');
                parse_number(reader, $kind, field, |text| match text {
                    "NaN" if quoted => Some(Self::NAN),
                    "Infinity" if quoted => Some(Self::INFINITY),
                    "-Infinity" if quoted => Some(Self::NEG_INFINITY),
                    _ if number::is_number(text) => {
                        text.parse().ok().filter(|value: &Self| value.is_finite())
                    }
                    _ => None,
                })
            }
            fn write(&self, out: &mut String) {
                number::$write(out, *self);
            }
        }
    )*};
}

floats! {
    f32: Float, "float", write_f32;
    f64: Double, "double", write_f64;
}

#[cfg(test)]
mod tests {
    use crate::codec::macros::{kind, messages, slot};
    use crate::codec::{decode, encode, from_wire, to_wire};

    messages! {
        Figures {
            cpu "cpu" one f64 = 2;
            mem "mem" opt f64 = 3;
        }
    }

    fn cpu(text: &str) -> Option<f64> {
        let read = decode::<Figures>(format!("{{\"cpu\":{text}}}").as_bytes());
        read.ok().map(|figures| figures.cpu)
    }

    #[test]
    fn doubles_are_numbers_or_their_text() {
        for (text, expected) in [
            ("0.00024974045489303945", Some(0.000_249_740_454_893_039_45)),
            ("\"56677.52937041498\"", Some(56_677.529_370_414_98)),
            ("1.7976931348623157e308", Some(f64::MAX)),
            ("\"Infinity\"", Some(f64::INFINITY)),
            ("\"-Infinity\"", Some(f64::NEG_INFINITY)),
            ("null", Some(0.0)),
            ("1e309", None),
            ("Infinity", None),
            ("NaN", None),
            ("\"nan\"", None),
            ("true", None),
        ] {
            assert_eq!(cpu(text), expected, "{text}");
        }
        assert!(cpu("\"NaN\"").is_some_and(f64::is_nan));
    }

    #[test]
    fn doubles_are_printed_whole_and_zeros_are_written_out() {
        let print = |cpu| encode(&Figures { cpu, mem: None });
        assert_eq!(print(0.0), r#"{"cpu":0}"#);
        assert_eq!(
            print(0.000_336_912_232_252_300_1),
            r#"{"cpu":0.0003369122322523001}"#
        );
        assert_eq!(print(150_000_000.0), r#"{"cpu":150000000}"#);
        assert_eq!(print(1e21), r#"{"cpu":1e+21}"#);
        assert_eq!(print(f64::NAN), r#"{"cpu":"NaN"}"#);
        assert_eq!(print(f64::NEG_INFINITY), r#"{"cpu":"-Infinity"}"#);
    }

    #[test]
    fn zeros_are_absent_on_the_wire_unless_they_have_presence() {
        let zeros = |mem| Figures { cpu: 0.0, mem };
        assert_eq!(to_wire(&zeros(None)), [0_u8; 0]);
        assert_eq!(to_wire(&zeros(Some(0.0))), [0x19, 0, 0, 0, 0, 0, 0, 0, 0]);
        let negative = Figures {
            cpu: -0.0,
            mem: None,
        };
        assert_eq!(to_wire(&negative).len(), 9);
        assert_eq!(from_wire(&to_wire(&zeros(Some(0.0)))), Ok(zeros(Some(0.0))));
        let refused = from_wire::<Figures>(b"\x15\0\0\0\0").unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("field cpu: unexpected wire type: 32-bit")
        );
    }
}
