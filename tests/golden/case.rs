//! A recorded case as it is stored.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub id: String,
    #[serde(default)]
    pub setup: Vec<Step>,
    pub request: Request,
    pub parallel: Option<usize>,
    #[serde(default)]
    pub receivers: Vec<Value>,
    pub metrics: Option<Metrics>,
    pub expect: Vec<Value>,
    #[serde(default)]
    pub order: Vec<String>,
    #[serde(default)]
    pub unordered: Vec<String>,
    #[serde(default)]
    pub after: Vec<After>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(rename = "use")]
    pub fixture: Option<String>,
    pub http: Option<Request>,
    /// The status; `None`: any.
    pub expect: Option<u16>,
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub api: String,
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Sent as it is written, with the case's order of keys.
    pub body: Option<Box<RawValue>>,
    pub raw: Option<String>,
    pub generate: Option<Generate>,
}

/// A body that is too large or too deep to be stored.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Generate {
    Fill {
        before: String,
        count: usize,
        after: String,
    },
    Nested {
        before: String,
        depth: usize,
        after: String,
        /// What is nested: `[`, or else an object.
        #[serde(default = "list")]
        with: String,
    },
}

fn list() -> String {
    "[".into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Families with a label whose values count.
    pub label_values: Vec<[String; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    pub request: Request,
    pub expect: Vec<Value>,
}
