//! A cursor over the text of one request body, read by the messages themselves.
//!
//! It reads in one pass and borrows from the text unless an escape forces a copy. It knows tokens, not fields; a
//! [`Fault`] carries the position, and the entry point words the error.

use std::borrow::Cow;

use super::escapes::{unescape, unquote};
use super::struct_check::StructCheck;
use super::syntax::{self, MAX_DEPTH, Stop, SyntaxError, Visitor};

/// An error in the text: its position and its reason.
#[derive(Debug)]
pub struct Fault {
    pub at: usize,
    pub why: String,
}

pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    pub fn fault(&self, why: impl Into<String>) -> Fault {
        Fault {
            at: self.at,
            why: why.into(),
        }
    }

    /// A copy of the cursor at the current position.
    pub fn bookmark(&self) -> Self {
        Self {
            text: self.text,
            at: self.at,
            depth: self.depth,
        }
    }

    /// The next non-blank byte, without consuming it.
    pub fn peek(&mut self) -> Option<u8> {
        self.at = syntax::skip_blanks(self.text.as_bytes(), self.at);
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Null stands for an absent field (contract 2.1).
    pub fn take_null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.take_word("null")
    }

    pub fn open(&mut self, bracket: u8) -> Result<(), Fault> {
        if !self.take(bracket) {
            return Err(self.unexpected());
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault("exceeded max depth"));
        }
        Ok(())
    }

    /// Advances to the next member of the open container; false if the container closes here.
    pub fn next(&mut self, first: &mut bool, close: u8) -> Result<bool, Fault> {
        let was_first = std::mem::replace(first, false);
        if self.take(close) {
            self.depth -= 1;
            return Ok(false);
        }
        if !was_first && !self.take(b',') {
            return Err(self.unexpected());
        }
        // Rejects `[1,]` and `{"a":1,}`: a comma must be followed by a member.
        if !was_first && self.peek() == Some(close) {
            return Err(self.unexpected());
        }
        Ok(true)
    }

    /// Reads the name of the next member and its colon.
    pub fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        let key = self.string()?;
        self.at = syntax::colon(self.text.as_bytes(), self.at).map_err(|e| self.syntax(&e))?;
        Ok(key)
    }

    pub fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let start = self.at;
        let end = syntax::string_end(self.text.as_bytes(), start).map_err(|e| self.syntax(&e))?;
        let inner = &self.text[start + 1..end.at - 1];
        let value = if end.escaped {
            Cow::Owned(unescape(inner).ok_or_else(|| self.fault("invalid escape code in string"))?)
        } else {
            Cow::Borrowed(inner)
        };
        self.at = end.at;
        Ok(value)
    }

    pub fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        self.at = syntax::number_end(self.text.as_bytes(), start).map_err(|e| self.syntax(&e))?;
        Ok(&self.text[start..self.at])
    }

    /// Skips a value of any type.
    pub fn skip(&mut self) -> Result<(), Fault> {
        self.walk(&mut EscapeCheck)
    }

    /// Reads a `Struct` as validated text, without building a map.
    pub fn struct_text(&mut self) -> Result<&'a str, Fault> {
        if self.peek() != Some(b'{') {
            return Err(self.unexpected());
        }
        let start = self.at;
        self.walk(&mut StructCheck::default())?;
        Ok(&self.text[start..self.at])
    }

    fn walk<V: Visitor<'a>>(&mut self, visitor: &mut V) -> Result<(), Fault> {
        self.peek();
        match syntax::walk(self.text.as_bytes(), self.at, self.depth, visitor) {
            Ok(end) => {
                self.at = end;
                Ok(())
            }
            Err(Stop::Refused { at, why }) => Err(Fault { at, why }),
            Err(Stop::Syntax(error)) => Err(self.syntax(&error)),
        }
    }

    fn syntax(&self, error: &SyntaxError) -> Fault {
        self.fault(error.to_string())
    }

    pub fn unexpected(&mut self) -> Fault {
        self.peek();
        let token = self.token();
        self.fault(format!("unexpected token {token}"))
    }

    /// The token at the cursor for error messages, truncated so that a large body is never quoted as a whole.
    pub fn token(&self) -> &'a str {
        const SHOWN: usize = 100;
        let rest = &self.text[self.at..];
        let length = match rest.bytes().next() {
            Some(b'"') => syntax::string_end(rest.as_bytes(), 0).map_or(rest.len(), |end| end.at),
            Some(b'-' | b'0'..=b'9' | b'a'..=b'z') => rest
                .find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
                .unwrap_or(rest.len()),
            _ => 1,
        };
        &rest[..rest.floor_char_boundary(length.min(SHOWN))]
    }
}

/// Checks what the grammar does not: `\u` escapes must form characters, in skipped values too.
struct EscapeCheck;

impl<'a> Visitor<'a> for EscapeCheck {
    fn key(&mut self, raw: &'a [u8], escaped: bool) -> Result<(), String> {
        self.string(raw, escaped)
    }
    fn string(&mut self, raw: &'a [u8], escaped: bool) -> Result<(), String> {
        if escaped {
            unquote(raw).map(drop)
        } else {
            Ok(())
        }
    }
}
