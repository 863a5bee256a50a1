//! The text that a JSON string stands for.

/// Decodes a raw string that the grammar has accepted.
pub fn unquote(raw: &[u8]) -> Result<String, String> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    std::str::from_utf8(inner)
        .ok()
        .and_then(unescape)
        .ok_or_else(|| "invalid escape code in string".to_owned())
}

/// Resolves escapes; `None` for an unpaired surrogate. The grammar has been checked before.
pub fn unescape(inner: &str) -> Option<String> {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(position) = rest.find('\\') {
        out.push_str(&rest[..position]);
        let code = rest.as_bytes().get(position + 1)?;
        let mut used = position + 2;
        out.push(match code {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (c, length) = unicode_escape(rest.get(used..)?)?;
                used += length;
                c
            }
            other => char::from(*other),
        });
        rest = rest.get(used..)?;
    }
    out.push_str(rest);
    Some(out)
}

fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let first = unit(text)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 4));
    }
    let second = unit(text.get(4..)?.strip_prefix("\\u")?)?;
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).map(|c| (c, 10))
}
