//! The settings file: YAML, nested or with dotted keys, case-insensitive.

use super::error::SettingsError;
use super::key::Key;
use super::keys::{self, Alias, KEYS};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};
use std::fmt;
use std::path::Path;

/// A value in the file.
pub struct Entry {
    pub key: &'static Key,
    pub alias: Option<&'static Alias>,
    pub text: String,
}

/// All values, and all errors of the file.
pub fn read(path: &Path) -> (Vec<Entry>, Vec<SettingsError>) {
    let values = match document(path) {
        Ok(values) => values,
        Err(error) => return (Vec::new(), vec![error]),
    };
    let (mut entries, mut errors) = (Vec::<Entry>::new(), Vec::new());
    for (name, given) in values {
        match (keys::find(&name), given) {
            (Some((key, alias)), Some(given)) => {
                let text = match key.wants_text() {
                    true => given.written,
                    false => given.read,
                };
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
            (None, given) => errors.extend(unknown(path, name, given.is_some())),
        }
    }
    (entries, errors)
}

fn document(path: &Path) -> Result<Vec<Member>, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.into(),
        source,
    })?;
    // Far deeper than any setting, and safe for the stack.
    let options = serde_saphyr::options! { budget: serde_saphyr::budget! { max_depth: 16 } };
    let read = serde_saphyr::from_str_with_options(&text, options);
    let document: Item = read.map_err(|error| SettingsError::Syntax {
        path: path.into(),
        why: error.to_string(),
    })?;
    match document {
        // An empty file sets nothing.
        Item::Value(Value::Null) => Ok(Vec::new()),
        Item::Group(members) => {
            let mut values = Vec::new();
            flatten(members, "", &text, &mut values);
            Ok(values)
        }
        Item::Value(_) => Err(SettingsError::NoMap { path: path.into() }),
    }
}

/// A path with its value; `None`: a key without a value.
type Member = (String, Option<Given>);

/// A value as parsed by YAML, and as written.
struct Given {
    read: String,
    written: String,
}

fn flatten(members: Vec<(String, Spanned<Item>)>, group: &str, text: &str, into: &mut Vec<Member>) {
    for (name, item) in members {
        let path = match group {
            "" => name,
            group => format!("{group}.{name}"),
        };
        let at = item.defined;
        match item.value {
            Item::Group(members) if members.is_empty() => {}
            Item::Group(members) => flatten(members, &path, text, into),
            Item::Value(Value::Null) => into.push((path, None)),
            Item::Value(value) => into.push((path, Some(Given::new(&value, at, text)))),
        }
    }
}

impl Given {
    fn new(value: &Value, at: Location, text: &str) -> Self {
        let read = match value {
            Value::String(read) => read.clone(),
            other => other.to_string(),
        };
        // The text of a string between its quotes, of either kind.
        let written = match value {
            Value::Bool(_) | Value::Number(_) => slice(text, at).unwrap_or(&read).to_owned(),
            _ => read.clone(),
        };
        Self { read, written }
    }
}

fn slice(text: &str, at: Location) -> Option<&str> {
    let span = at.span();
    let begin = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let written = text.get(begin..begin.checked_add(length)?)?.trim();
    // Tags are not supported.
    (!written.is_empty() && !written.starts_with('!')).then_some(written)
}

/// A group of settings, or a value.
enum Item {
    Group(Vec<(String, Spanned<Item>)>),
    Value(Value),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a group of settings or a value")
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Value(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Item, E> {
        Ok(Item::Value(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        Item::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Item, E> {
        Ok(Item::Value(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Item, E> {
        Ok(Item::Value(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Item, E> {
        Ok(Item::Value(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Item, E> {
        Ok(Item::Value(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Item, E> {
        Ok(Item::Value(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Item::Value(Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Item, A::Error> {
        let mut group = Vec::new();
        while let Some(member) = members.next_entry()? {
            group.push(member);
        }
        Ok(Item::Group(group))
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

/// The known name with the smallest edit distance.
fn nearest(lower: &str) -> &'static str {
    let distance = |name: &&str| strsim::levenshtein(lower, &name.to_ascii_lowercase());
    keys::names().min_by_key(distance).unwrap_or_default()
}
