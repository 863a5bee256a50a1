//! The settings file: YAML, nested or with dotted keys, case-insensitive.

use super::error::SettingsError;
use super::key::Key;
use super::keys::{self, Alias, KEYS};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;
use std::path::Path;

/// A value in the file.
pub struct Entry {
    pub key: &'static Key,
    pub alias: Option<&'static Alias>,
    pub text: String,
    /// What stands in the file, for complaints.
    pub written: String,
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
                if given.is_list && !key.takes_lists() {
                    let key = key.path;
                    let path = path.into();
                    errors.push(SettingsError::List { path, key });
                    continue;
                }
                let (text, written) = match key.wants_text() {
                    true => (given.written.clone(), given.written),
                    false => (given.read, given.written),
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
                entries.push(Entry {
                    key,
                    alias,
                    text,
                    written,
                });
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
    // Far deeper than any setting, and few enough for the stack. Whether an infinity is a value the key says.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 16 },
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
    };
    let read = serde_saphyr::from_str_with_options(&text, options);
    let document: Item = read.map_err(|error| SettingsError::Syntax {
        path: path.into(),
        why: error.to_string(),
    })?;
    match document {
        // An empty file sets nothing.
        Item::Nothing => Ok(Vec::new()),
        Item::Group(members) => {
            let mut values = Vec::new();
            flatten(members, "", &text, &mut values);
            Ok(values)
        }
        _ => Err(SettingsError::NoMap { path: path.into() }),
    }
}

/// A path with its value; `None`: a key without a value.
type Member = (String, Option<Given>);

/// A value as YAML reads it, and as it was written. A list is JSON, of texts as they were written.
struct Given {
    read: String,
    written: String,
    is_list: bool,
}

fn flatten(members: Vec<(String, Spanned<Item>)>, group: &str, text: &str, into: &mut Vec<Member>) {
    for (name, item) in members {
        let path = match group {
            "" => name,
            group => format!("{group}.{name}"),
        };
        match item.value {
            Item::Group(members) if members.is_empty() => {}
            Item::Group(members) => flatten(members, &path, text, into),
            Item::Nothing => into.push((path, None)),
            _ => into.push((path, Some(Given::new(&item, text)))),
        }
    }
}

impl Given {
    fn new(item: &Spanned<Item>, text: &str) -> Self {
        let written = written(item, text);
        let read = match &item.value {
            // A float's own text says the same, and what is none of the key's numbers is refused as it was written.
            Item::Whole(read) => read.clone(),
            _ => written.clone(),
        };
        let is_list = matches!(item.value, Item::List(_));
        Self {
            read,
            written,
            is_list,
        }
    }
}

fn written(item: &Spanned<Item>, text: &str) -> String {
    let slice = || slice(text, item.defined).map(str::to_owned);
    match &item.value {
        // A string is what is between its quotes, of whatever kind.
        Item::Text(read) => read.clone(),
        Item::Whole(read) => slice().unwrap_or_else(|| read.clone()),
        Item::Float(read) => slice().unwrap_or_else(|| read.to_string()),
        Item::List(items) => {
            let items: Vec<_> = items.iter().map(|item| written(item, text)).collect();
            serde_json::Value::from(items).to_string()
        }
        Item::Nothing => String::new(),
        // Only within a list, where nothing takes it.
        Item::Group(_) => slice().unwrap_or_else(|| "{}".into()),
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
    List(Vec<Spanned<Item>>),
    Nothing,
    Text(String),
    /// A whole number or a flag, as YAML reads it: `0x1F90` is 8080, and `off` is false.
    Whole(String),
    Float(f64),
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
        Ok(Item::Nothing)
    }

    fn visit_none<E>(self) -> Result<Item, E> {
        Ok(Item::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Item, D::Error> {
        Item::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Item, E> {
        Ok(Item::Whole(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Item, E> {
        Ok(Item::Whole(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Item, E> {
        Ok(Item::Whole(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Item, E> {
        Ok(Item::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Item, E> {
        Ok(Item::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Item::List(list))
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
