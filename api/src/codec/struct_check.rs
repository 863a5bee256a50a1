//! What a `google.protobuf.Struct` asks of its text.

use std::borrow::Cow;

use super::escapes::unquote;
use super::number::double;
use super::syntax::Visitor;

/// The rules of a `Struct` beyond the JSON grammar: keys are unique per object, numbers fit a double, escapes form
/// valid characters.
#[derive(Default)]
pub struct StructCheck<'a> {
    keys: Vec<Cow<'a, [u8]>>,
    /// For each open container, the index at which its keys begin.
    frames: Vec<usize>,
}

impl<'a> Visitor<'a> for StructCheck<'a> {
    fn open(&mut self, _object: bool) {
        self.frames.push(self.keys.len());
    }

    fn key(&mut self, raw: &'a [u8], escaped: bool) -> Result<(), String> {
        let key = if escaped {
            Cow::Owned(unquote(raw)?.into_bytes())
        } else {
            Cow::Borrowed(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default())
        };
        self.keys.push(key);
        Ok(())
    }

    fn string(&mut self, raw: &'a [u8], escaped: bool) -> Result<(), String> {
        if escaped {
            unquote(raw).map(drop)
        } else {
            Ok(())
        }
    }

    fn number(&mut self, raw: &'a [u8]) -> Result<(), String> {
        // Only an exponent or hundreds of digits can leave the range of a double.
        let suspicious = raw.len() > 300 || raw.iter().any(|b| matches!(b, b'e' | b'E'));
        if suspicious && !double(raw).is_finite() {
            return Err(format!(
                "invalid google.protobuf.Value: {}",
                String::from_utf8_lossy(raw)
            ));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let start = self.frames.pop().unwrap_or_default();
        let keys = &mut self.keys[start..];
        // Equal keys are adjacent once sorted: a body with a hundred thousand keys stays cheap to check.
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!(
                "duplicate map key {:?}",
                String::from_utf8_lossy(&pair[0])
            ));
        }
        self.keys.truncate(start);
        Ok(())
    }
}
