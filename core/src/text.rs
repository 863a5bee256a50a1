//! Makes foreign text safe for terminals and text logs.
//!
//! Names, reasons and answers come from rooms, forwarders, clients and servers unchecked. A control character in them
//! can move the cursor or forge a line; a bidirectional one can make a line read as another.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Whether a character affects the terminal or the surrounding text instead of being visible: control characters (C0,
/// DEL, C1), line and paragraph separators, marks and overrides of the writing direction, and others without a glyph.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{206a}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text on one line, with unprintable characters escaped as `\n`, `\u{1b}` and so on.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, is_unprintable, write_escape)
}

/// Like [`escaped`], for our own text with foreign parts: its line breaks and tabs are kept.
#[must_use]
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    let acts = |c| is_unprintable(c) && !matches!(c, '\n' | '\t');
    replaced(text, acts, write_escape)
}

/// An equivalent JSON document of printable characters. Line breaks and tabs are kept, because a valid document has
/// them only between its values. Other formats (YAML's double quotes) accept the same escapes.
#[must_use]
pub fn escaped_json(text: &str) -> Cow<'_, str> {
    let acts = |c| is_unprintable(c) && !matches!(c, '\n' | '\t' | '\r');
    replaced(text, acts, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            write!(out, "\\u{unit:04x}")?;
        }
        Ok(())
    })
}

fn replaced(
    text: &str,
    acts: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String) -> fmt::Result,
) -> Cow<'_, str> {
    let Some(first) = text.find(&acts) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match acts(c) {
            // Writing to a String cannot fail.
            true => drop(write(c, &mut out)),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn write_escape(c: char, out: &mut String) -> fmt::Result {
    write!(out, "{}", c.escape_default())
}

/// A writer that escapes like [`escaped`], without a copy.
pub struct Escaping<W>(pub W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain_from = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_unprintable(*c)) {
            self.0.write_str(&text[plain_from..at])?;
            write!(self.0, "{}", c.escape_default())?;
            plain_from = at + c.len_utf8();
        }
        self.0.write_str(&text[plain_from..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\u{1b}[2J\r\n\tb\u{9b}31m\u{7f}é\u{202e}gnp.\u{2066}x\u{2029}\u{61c}\u{feff}\u{e0041}😀";

    #[test]
    fn what_acts_on_a_terminal_is_spelled_out() {
        let told = "a\\u{1b}[2J\\r\\n\\tb\\u{9b}31m\\u{7f}é\\u{202e}gnp.\\u{2066}x\\u{2029}\\u{61c}\\u{feff}\\u{e0041}😀";
        assert_eq!(escaped(HOSTILE), told);
        let mut streamed = Escaping(String::new());
        write!(streamed, "{HOSTILE}").unwrap();
        assert_eq!(streamed.0, told);
        assert!(!escaped(HOSTILE).contains(is_unprintable));
        assert!(escaped_lines(HOSTILE).contains("\\r\n\tb"));
        assert!(matches!(escaped("plain – ünïcode"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_json_document_keeps_its_meaning() {
        let document = serde_json::json!({ "text": HOSTILE, "list": [1, "x"] });
        let told = format!("{document:#}");
        let escaped = escaped_json(&told);
        assert!(!escaped.contains(|c| is_unprintable(c) && c != '\n'));
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read, document);
    }
}
