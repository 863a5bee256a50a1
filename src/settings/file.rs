//! The settings file: YAML, nested or with dotted keys, names without regard to case.

use super::error::SettingsError;
use super::key::Key;
use super::keys::{self, Alias, KEYS};
use serde_json::Value;
use std::path::Path;

/// A value that the file gives.
pub struct Entry {
    pub key: &'static Key,
    pub alias: Option<&'static Alias>,
    pub text: String,
}

/// All values, and everything that is wrong with the file.
pub fn read(path: &Path) -> (Vec<Entry>, Vec<SettingsError>) {
    let document = match document(path) {
        Ok(document) => document,
        Err(error) => return (Vec::new(), vec![error]),
    };
    let mut values = Vec::new();
    flatten(&document, String::new(), &mut values);
    let (mut entries, mut errors) = (Vec::<Entry>::new(), Vec::new());
    for (name, text) in values {
        match (keys::find(&name), text) {
            (Some((key, alias)), Some(text)) => {
                let same = |entry: &Entry| {
                    entry.key.path == key.path && entry.alias.is_some() == alias.is_some()
                };
                if entries.iter().any(same) {
                    errors.push(SettingsError::Twice {
                        path: path.into(),
                        key: key.path,
                    });
                }
                entries.push(Entry { key, alias, text });
            }
            // A key without a value sets nothing.
            (Some(_), None) => {}
            (None, text) => errors.extend(unknown(path, name, text.is_some())),
        }
    }
    (entries, errors)
}

fn document(path: &Path) -> Result<Value, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.into(),
        source,
    })?;
    let document = serde_saphyr::from_str(&text).map_err(|error| SettingsError::Syntax {
        path: path.into(),
        why: error.to_string(),
    })?;
    match document {
        // An empty file sets nothing.
        Value::Null | Value::Object(_) => Ok(document),
        _ => Err(SettingsError::NoMap { path: path.into() }),
    }
}

/// Paths with their values as text; `None`: a key without a value.
fn flatten(value: &Value, path: String, into: &mut Vec<(String, Option<String>)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = match path.as_str() {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                flatten(value, path, into);
            }
        }
        Value::Null if path.is_empty() => {}
        Value::Null => into.push((path, None)),
        Value::String(text) => into.push((path, Some(text.clone()))),
        other => into.push((path, Some(other.to_string()))),
    }
}

fn unknown(path: &Path, key: String, has_value: bool) -> Option<SettingsError> {
    let lower = key.to_ascii_lowercase();
    let inside = KEYS.iter().find(|known| {
        let known = known.path.to_ascii_lowercase();
        known
            .strip_prefix(&lower)
            .is_some_and(|rest| rest.starts_with('.'))
    });
    match inside {
        // An empty group sets nothing.
        Some(_) if !has_value => None,
        Some(inside) => Some(SettingsError::Group {
            path: path.into(),
            key,
            inside: inside.path,
        }),
        None => Some(SettingsError::UnknownKey {
            path: path.into(),
            nearest: nearest(&lower),
            key,
        }),
    }
}

/// The known name that takes the fewest edits.
fn nearest(lower: &str) -> &'static str {
    let distance = |name: &&str| strsim::levenshtein(lower, &name.to_ascii_lowercase());
    keys::names().min_by_key(distance).unwrap_or_default()
}
