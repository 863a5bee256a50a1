//! Names that belong to one case.

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The variables that every case has.
    pub fn of(case: &str) -> Self {
        let s: String = case.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("{s}-golden");
        let long = format!("{name}-{}", "x".repeat(64));
        let values = [
            ("S", name.clone()),
            ("S2", format!("{name}-b")),
            ("S3", format!("{name}-c")),
            ("G", format!("game-{name}")),
            ("G2", format!("game2-{name}")),
            ("S63", long[..63].to_owned()),
            ("S64", long[..64].to_owned()),
        ];
        Self(values.map(|(key, value)| (key.to_owned(), value)).into())
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Replaces `{{NAME}}` in a text by its value; `{{NOW-5}}` are Unix seconds.
    pub fn fill(&self, text: &str) -> String {
        let place = Regex::new(r"\{\{([A-Z0-9]+)([+-][0-9]+)?\}\}").expect("a regular expression");
        let value = |found: &regex::Captures<'_>| match &found[1] {
            "NOW" => {
                let shift = found
                    .get(2)
                    .map_or(0, |shift| shift.as_str().parse().expect("a number"));
                (Timestamp::now().as_second() + shift).to_string()
            }
            name => self
                .0
                .get(name)
                .unwrap_or_else(|| panic!("{name} is not set"))
                .clone(),
        };
        place.replace_all(text, value).into_owned()
    }

    /// Does the same everywhere in a document.
    pub fn fill_all(&self, document: &Value) -> Value {
        match document {
            Value::String(text) => self.fill(text).into(),
            Value::Array(list) => list.iter().map(|item| self.fill_all(item)).collect(),
            Value::Object(map) => {
                let filled = map
                    .iter()
                    .map(|(key, value)| (self.fill(key), self.fill_all(value)));
                Value::Object(filled.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }
}
