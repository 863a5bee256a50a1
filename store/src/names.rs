//! Texts of other programs where the name of a scheduler belongs.

use maestro_core::text::escaped;
use parking_lot::Mutex;
use std::collections::HashSet;
use tracing::warn;

/// Characters of a name; the column of the contract has no more (contract 8.1).
const LENGTH_MAX: usize = 255;
/// Texts that are remembered as reported. Beyond these nothing is reported any more.
const REPORTED_MAX: usize = 100;
/// Enough of a text to recognize it.
const SHOWN: usize = 80;

/// Characters of foreign text that are told, which may be megabytes.
const TOLD: usize = 400;

/// Enough of a text that contains foreign parts to see what it is about.
pub fn told(text: &str) -> String {
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// Whether a scheduler can have this name in Postgres. No other text may get into a statement: one with NUL would fail
/// the whole batch.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= LENGTH_MAX
}

/// Passes names, and reports each other text once.
#[derive(Default)]
pub struct Names(Mutex<HashSet<String>>);

impl Names {
    /// Whether it is a name. `place` says where it was found.
    pub fn accept(&self, place: &str, text: &str) -> bool {
        if is_name(text) {
            return true;
        }
        let shown: String = text.chars().take(SHOWN).collect();
        let mut reported = self.0.lock();
        if reported.len() < REPORTED_MAX && reported.insert(shown.clone()) {
            let shown = escaped(&shown);
            warn!(
                "{place} has {shown:?}, which cannot be the name of a scheduler; it is passed over"
            );
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_cannot_store_is_no_name() {
        assert!(is_name("arena-eu") && is_name(&"я".repeat(255)));
        for bad in ["", "a\0b", &"a".repeat(256)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_long_text_is_told_in_part() {
        assert_eq!(told("short"), "short");
        let long = "я".repeat(1 << 20);
        let told = told(&long);
        assert!(
            told.starts_with("яя") && told.ends_with("… (2097152 bytes)"),
            "{told}"
        );
        assert!(told.chars().count() < 430);
    }

    #[test]
    fn what_is_reported_is_bounded() {
        let names = Names::default();
        for number in 0..1000 {
            assert!(!names.accept("a queue", &format!("{number}\0")));
        }
        assert_eq!(names.0.lock().len(), REPORTED_MAX);
    }
}
