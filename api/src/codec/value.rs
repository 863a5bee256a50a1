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

impl Json for f32 {
    const TYPE: Type = Type::Float;

    fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, Fault> {
        let quoted = reader.peek() == Some(b'"');
        parse_number(reader, "float", field, |text| match text {
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
        number::write_f32(out, *self);
    }
}
