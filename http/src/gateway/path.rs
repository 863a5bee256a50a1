//! Request paths: cleaned for redirects, decoded for matching (contract 2.1, 15.5, 15.10).

use std::borrow::Cow;

/// A decoded path. It is split into segments only after decoding, so `%2F` separates segments.
pub struct Decoded<'a> {
    pub text: Cow<'a, str>,
    /// Whether the path was invalid UTF-8; the text then contains replacement characters.
    pub damaged: bool,
}

/// Decodes `%XX`; `None` if an escape is malformed.
pub fn decode(path: &str) -> Option<Decoded<'_>> {
    if !path.contains('%') {
        return Some(Decoded {
            text: Cow::Borrowed(path),
            damaged: false,
        });
    }
    let (text, damaged) = to_text(unescape(path, false).ok()?);
    Some(Decoded {
        text: Cow::Owned(text),
        damaged,
    })
}

/// Decodes `%XX`, and `+` as a blank if `plus` is set. The error is the malformed escape.
pub fn unescape(text: &str, plus: bool) -> Result<Vec<u8>, &str> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'%' => {
                let hex = |offset: usize| {
                    bytes
                        .get(at + offset)
                        .and_then(|b| char::from(*b).to_digit(16))
                };
                let (Some(high), Some(low)) = (hex(0), hex(1)) else {
                    let end = text.floor_char_boundary(at + 2);
                    return Err(&text[at - 1..end]);
                };
                // The value of two hexadecimal digits fits into a byte.
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// The bytes as text, and whether they contained invalid UTF-8.
pub fn to_text(bytes: Vec<u8>) -> (String, bool) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, false),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
    }
}

/// The canonical form of a path without empty, `.` or `..` segments, if it differs; a trailing slash is kept.
///
/// Works on the path as it was sent: encoded dots are ordinary characters.
pub fn cleaned(path: &str) -> Option<String> {
    let inner = &path[1..];
    let last = inner.split('/').count() - 1;
    let unclean = |(i, s): (usize, &str)| matches!(s, "." | "..") || (s.is_empty() && i != last);
    if !inner.split('/').enumerate().any(unclean) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in inner.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let mut clean = String::with_capacity(path.len());
    for segment in &kept {
        clean.push('/');
        clean.push_str(segment);
    }
    if clean.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unclean_paths_have_a_clean_form() {
        for (path, expected) in [
            ("/", None),
            ("/schedulers", None),
            ("/schedulers/", None),
            ("/schedulers/%2e%2e", None),
            ("//schedulers", Some("/schedulers")),
            ("/schedulers//", Some("/schedulers/")),
            ("/schedulers//versions", Some("/schedulers/versions")),
            ("/schedulers/../schedulers", Some("/schedulers")),
            ("/a/./b", Some("/a/b")),
            ("/..", Some("/")),
            ("//", Some("/")),
        ] {
            assert_eq!(cleaned(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn broken_escapes_are_named() {
        assert_eq!(unescape("a%zzb", false), Err("%zz"));
        assert_eq!(unescape("a%2", false), Err("%2"));
        assert_eq!(unescape("a%", false), Err("%"));
        assert_eq!(unescape("%C3%A9+", true), Ok("é ".as_bytes().to_vec()));
    }
}
