//! JSON whose members keep their order, because people read the description from top to bottom.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// A piece of a JSON document.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Scalar(Value),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// Builds an object: `object! { "name" => value, … }`.
macro_rules! object {
    ($($name:expr => $value:expr),* $(,)?) => {
        $crate::openapi::Tree::Object(vec![
            $(($name.to_string(), $crate::openapi::Tree::from($value))),*
        ])
    };
}

pub(crate) use object;

impl Tree {
    /// Adds a member to an object; other values are unchanged.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Self>) -> Self {
        if let Self::Object(members) = &mut self {
            members.push((name.to_owned(), value.into()));
        }
        self
    }

    /// Adds a member unless `text` is empty.
    #[must_use]
    pub fn with_text(self, name: &str, text: &str) -> Self {
        match text {
            "" => self,
            text => self.with(name, text),
        }
    }

    /// Applies `change` to every text in the tree.
    #[must_use]
    pub fn map_texts(self, change: &impl Fn(String) -> String) -> Self {
        match self {
            Self::Scalar(Value::String(text)) => change(text).into(),
            Self::Scalar(other) => Self::Scalar(other),
            Self::List(items) => Self::List(
                items
                    .into_iter()
                    .map(|item| item.map_texts(change))
                    .collect(),
            ),
            Self::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(name, member)| (name, member.map_texts(change)))
                    .collect(),
            ),
        }
    }
}

macro_rules! scalars {
    ($($type:ty),*) => {$(
        impl From<$type> for Tree {
            fn from(value: $type) -> Self {
                Self::Scalar(value.into())
            }
        }
    )*};
}

scalars!(&str, String, bool, i32, i64, u32, u64, usize, f64);

impl From<Vec<Tree>> for Tree {
    fn from(items: Vec<Tree>) -> Self {
        Self::List(items)
    }
}

impl From<Vec<(String, Tree)>> for Tree {
    fn from(members: Vec<(String, Tree)>) -> Self {
        Self::Object(members)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(value) => value.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    map.serialize_entry(name, member)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Ordered)
    }
}

struct Ordered;

impl<'de> Visitor<'de> for Ordered {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}
