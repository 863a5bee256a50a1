//! The JSON grammar: an iterative walk over a value, and Go's wording of syntax errors.
//!
//! Everything that handles JSON of unknown shape uses [`walk`]: skipping unknown fields, validating a `Struct`,
//! printing one in canonical form, and finding the syntax error that takes precedence over any other error. The walk
//! keeps its own stack, so nesting uses heap and never the thread's stack. It does not interpret values.

use std::fmt;

/// Maximum nesting that the contract allows (contract 15.1); one more level is a syntax error.
pub const MAX_DEPTH: usize = 10_000;

/// Why the text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// The text ended inside a value.
    UnexpectedEof,
    /// A byte that the grammar does not allow at its position.
    Invalid { byte: u8, context: &'static str },
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEof => f.write_str("unexpected EOF"),
            Self::Invalid { byte, context } => {
                write!(f, "invalid character {} {context}", Quoted(*byte))
            }
        }
    }
}

/// A byte as Go's `encoding/json` quotes it: read as a Latin-1 character.
struct Quoted(u8);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\'' => f.write_str(r"'\''"),
            b'\\' => f.write_str(r"'\\'"),
            0x07 => f.write_str(r"'\a'"),
            0x08 => f.write_str(r"'\b'"),
            0x0c => f.write_str(r"'\f'"),
            b'\n' => f.write_str(r"'\n'"),
            b'\r' => f.write_str(r"'\r'"),
            b'\t' => f.write_str(r"'\t'"),
            0x0b => f.write_str(r"'\v'"),
            byte @ (0..=0x1f | 0x7f) => write!(f, "'\\x{byte:02x}'"),
            byte @ (0x80..=0xa0 | 0xad) => write!(f, "'\\u{byte:04x}'"),
            byte => write!(f, "'{}'", char::from(byte)),
        }
    }
}

/// Receives the tokens of a walk. Raw strings include their quotes. An `Err` stops the walk with the visitor's error.
pub trait Visitor<'a> {
    fn open(&mut self, _object: bool) {}
    fn key(&mut self, _raw: &'a [u8], _escaped: bool) -> Result<(), String> {
        Ok(())
    }
    fn string(&mut self, _raw: &'a [u8], _escaped: bool) -> Result<(), String> {
        Ok(())
    }
    fn number(&mut self, _raw: &'a [u8]) -> Result<(), String> {
        Ok(())
    }
    fn literal(&mut self, _raw: &'a [u8]) {}
    fn close(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Ignores all tokens: the walk then only checks the grammar.
pub struct Grammar;

impl Visitor<'_> for Grammar {}

/// Why a walk stopped early.
#[derive(Debug)]
pub enum Stop {
    Syntax(SyntaxError),
    Refused { at: usize, why: String },
}

impl From<SyntaxError> for Stop {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

/// The syntax error of the first value in `text`, if any. Blank text has none.
pub fn first_error(text: &[u8]) -> Option<SyntaxError> {
    let start = skip_blanks(text, 0);
    if start == text.len() {
        return None;
    }
    match walk(text, start, 0, &mut Grammar) {
        Err(Stop::Syntax(error)) => Some(error),
        Ok(_) | Err(Stop::Refused { .. }) => None,
    }
}

pub fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

enum Expect {
    Value,
    FirstElement,
    FirstKey,
    Key,
    AfterValue,
}

/// Walks the value that starts at `start`, inside `depth` open containers, and returns the position after it.
pub fn walk<'a, V: Visitor<'a>>(
    text: &'a [u8],
    start: usize,
    depth: usize,
    visitor: &mut V,
) -> Result<usize, Stop> {
    let mut at = start;
    let mut open: Vec<bool> = Vec::new();
    let mut expect = Expect::Value;
    loop {
        at = skip_blanks(text, at);
        let byte = *text.get(at).ok_or(SyntaxError::UnexpectedEof)?;
        let mut closed = false;
        match (&expect, byte) {
            (Expect::FirstKey, b'}') | (Expect::FirstElement, b']') => closed = true,
            (Expect::FirstKey | Expect::Key, b'"') => {
                let end = string_end(text, at)?;
                visitor
                    .key(&text[at..end.at], end.escaped)
                    .map_err(|why| Stop::Refused { at, why })?;
                at = colon(text, end.at)?;
                expect = Expect::Value;
                continue;
            }
            (Expect::FirstKey | Expect::Key, _) => {
                return Err(invalid(byte, "looking for beginning of object key string").into());
            }
            (Expect::Value | Expect::FirstElement, b'{' | b'[') => {
                if depth + open.len() >= MAX_DEPTH {
                    return Err(invalid(byte, "exceeded max depth").into());
                }
                let object = byte == b'{';
                visitor.open(object);
                open.push(object);
                expect = if object {
                    Expect::FirstKey
                } else {
                    Expect::FirstElement
                };
                at += 1;
                continue;
            }
            (Expect::Value | Expect::FirstElement, _) => at = scalar(text, at, visitor)?,
            (Expect::AfterValue, b',') => {
                expect = if open.last() == Some(&true) {
                    Expect::Key
                } else {
                    Expect::Value
                };
                at += 1;
                continue;
            }
            (Expect::AfterValue, _) => {
                let (bracket, context) = match open.last() {
                    Some(true) => (b'}', "after object key:value pair"),
                    _ => (b']', "after array element"),
                };
                if byte != bracket {
                    return Err(invalid(byte, context).into());
                }
                closed = true;
            }
        }
        if closed {
            open.pop();
            visitor.close().map_err(|why| Stop::Refused { at, why })?;
            at += 1;
        }
        if open.is_empty() {
            return Ok(at);
        }
        expect = Expect::AfterValue;
    }
}

fn scalar<'a, V: Visitor<'a>>(text: &'a [u8], at: usize, visitor: &mut V) -> Result<usize, Stop> {
    let refused = |why| Stop::Refused { at, why };
    match text[at] {
        b'"' => {
            let end = string_end(text, at)?;
            visitor
                .string(&text[at..end.at], end.escaped)
                .map_err(refused)?;
            Ok(end.at)
        }
        b'-' | b'0'..=b'9' => {
            let end = number_end(text, at)?;
            visitor.number(&text[at..end]).map_err(refused)?;
            Ok(end)
        }
        b't' => literal(text, at, "true", visitor),
        b'f' => literal(text, at, "false", visitor),
        b'n' => literal(text, at, "null", visitor),
        byte => Err(invalid(byte, "looking for beginning of value").into()),
    }
}

fn literal<'a, V: Visitor<'a>>(
    text: &'a [u8],
    at: usize,
    word: &str,
    visitor: &mut V,
) -> Result<usize, Stop> {
    for (offset, expected) in word.bytes().enumerate().skip(1) {
        let byte = *text.get(at + offset).ok_or(SyntaxError::UnexpectedEof)?;
        if byte != expected {
            return Err(invalid(byte, literal_context(word, offset)).into());
        }
    }
    let end = at + word.len();
    visitor.literal(&text[at..end]);
    Ok(end)
}

fn literal_context(word: &str, offset: usize) -> &'static str {
    match (word, offset) {
        ("true", 1) => "in literal true (expecting 'r')",
        ("true", 2) => "in literal true (expecting 'u')",
        ("true", _) => "in literal true (expecting 'e')",
        ("false", 1) => "in literal false (expecting 'a')",
        ("false", 2) => "in literal false (expecting 'l')",
        ("false", 3) => "in literal false (expecting 's')",
        ("false", _) => "in literal false (expecting 'e')",
        (_, 1) => "in literal null (expecting 'u')",
        _ => "in literal null (expecting 'l')",
    }
}

/// Skips the colon after a key.
pub fn colon(text: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let at = skip_blanks(text, at);
    match text.get(at) {
        Some(b':') => Ok(at + 1),
        Some(byte) => Err(invalid(*byte, "after object key")),
        None => Err(SyntaxError::UnexpectedEof),
    }
}

pub struct StringEnd {
    /// The position after the closing quote.
    pub at: usize,
    pub escaped: bool,
}

/// Finds the end of the string whose opening quote is at `open`.
pub fn string_end(text: &[u8], open: usize) -> Result<StringEnd, SyntaxError> {
    let mut at = open + 1;
    let mut escaped = false;
    loop {
        match *text.get(at).ok_or(SyntaxError::UnexpectedEof)? {
            b'"' => {
                return Ok(StringEnd {
                    at: at + 1,
                    escaped,
                });
            }
            b'\\' => {
                escaped = true;
                at = escape_end(text, at + 1)?;
            }
            byte @ 0..=0x1f => return Err(invalid(byte, "in string literal")),
            _ => at += 1,
        }
    }
}

fn escape_end(text: &[u8], at: usize) -> Result<usize, SyntaxError> {
    match *text.get(at).ok_or(SyntaxError::UnexpectedEof)? {
        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => Ok(at + 1),
        b'u' => {
            for offset in 1..=4 {
                let byte = *text.get(at + offset).ok_or(SyntaxError::UnexpectedEof)?;
                if !byte.is_ascii_hexdigit() {
                    return Err(invalid(byte, "in \\u hexadecimal character escape"));
                }
            }
            Ok(at + 5)
        }
        byte => Err(invalid(byte, "in string escape code")),
    }
}

/// Finds the end of the number that starts at `start`.
pub fn number_end(text: &[u8], start: usize) -> Result<usize, SyntaxError> {
    let mut at = start;
    if text[at] == b'-' {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        Some(b'1'..=b'9') => digits(text, at),
        other => return Err(expected_digit(other, "in numeric literal")),
    };
    if text.get(at) == Some(&b'.') {
        at = some_digits(text, at + 1, "after decimal point in numeric literal")?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = some_digits(text, at, "in exponent of numeric literal")?;
    }
    Ok(at)
}

fn digits(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

fn some_digits(text: &[u8], at: usize, context: &'static str) -> Result<usize, SyntaxError> {
    match text.get(at) {
        Some(byte) if byte.is_ascii_digit() => Ok(digits(text, at)),
        other => Err(expected_digit(other, context)),
    }
}

fn expected_digit(found: Option<&u8>, context: &'static str) -> SyntaxError {
    found.map_or(SyntaxError::UnexpectedEof, |byte| invalid(*byte, context))
}

fn invalid(byte: u8, context: &'static str) -> SyntaxError {
    SyntaxError::Invalid { byte, context }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        first_error(text.as_bytes())
            .map(|e| e.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn faults_are_worded_like_the_original() {
        for (text, expected) in [
            (r#"{"name": "x", "#, "unexpected EOF"),
            (
                "{'a': 1}",
                r"invalid character '\'' looking for beginning of object key string",
            ),
            (
                r#"{"a":1,}"#,
                "invalid character '}' looking for beginning of object key string",
            ),
            (
                r#"{"a": 02}"#,
                "invalid character '2' after object key:value pair",
            ),
            (
                r#"{"a": +2}"#,
                "invalid character '+' looking for beginning of value",
            ),
            ("[1 2]", "invalid character '2' after array element"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (
                "\u{feff}{}",
                "invalid character 'ï' looking for beginning of value",
            ),
            (
                "{\"a\":\"\n\"}",
                r"invalid character '\n' in string literal",
            ),
            (r#"["\q"]"#, "invalid character 'q' in string escape code"),
            (
                r#"["\u12g4"]"#,
                r"invalid character 'g' in \u hexadecimal character escape",
            ),
            (
                "[nul]",
                "invalid character ']' in literal null (expecting 'l')",
            ),
            (
                "[1.]",
                "invalid character ']' after decimal point in numeric literal",
            ),
            (
                "[1e]",
                "invalid character ']' in exponent of numeric literal",
            ),
            ("[-]", "invalid character ']' in numeric literal"),
            ("", ""),
            ("{}garbage", ""),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_ten_thousand_levels() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert_eq!(error(&nested(10_000)), "");
        assert_eq!(
            error(&nested(10_001)),
            "invalid character '[' exceeded max depth"
        );
    }
}
