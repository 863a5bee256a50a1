//! The exported file: its format, and validation for the import.
//!
//! ```yaml
//! format: 1
//! schedulers:
//!   - name: arena
//!     versions:             # newest first
//!       - version: v1.1.0
//!         active: true      # exactly one of them
//!         scheduler:        # a body of POST /schedulers
//!           name: arena
//! ```

use crate::unknown;
use anyhow::{Context, bail};
use maestro_api::codec::{self, Message, messages::CreateSchedulerRequest};
use maestro_api::convert;
use maestro_core::rules::validation;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_saphyr::Spanned;
use std::collections::BTreeSet;

pub const FORMAT: u32 = 1;

/// All schedulers of a server.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub format: u32,
    pub schedulers: Vec<Entry>,
}

/// One scheduler with its versions, newest first.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub versions: Vec<Version>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    pub version: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
    /// A body of `POST /schedulers`.
    pub scheduler: Spanned<Value>,
}

impl Entry {
    pub fn active(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.active)
    }
}

/// Read alone, to distinguish a file of another format from a malformed one.
#[derive(Deserialize)]
struct Head {
    format: Option<u32>,
}

impl Document {
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        let text = serde_saphyr::to_string(self).context("the schedulers cannot be written")?;
        Ok(format!(
            "# All schedulers of a Maestro; `maestro import` reads this file.\n{text}"
        ))
    }

    /// Reads a file as it was written by [`Self::to_yaml`] or by hand. It is not checked yet.
    ///
    /// # Errors
    /// If the file is not YAML, or not of this format.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let head: Head = read(text)?;
        match head.format {
            Some(FORMAT) => read(text),
            Some(other) => bail!("it has format {other}; this program reads format {FORMAT}"),
            None => bail!("it has no `format: {FORMAT}`: it is no export of schedulers"),
        }
    }

    /// Everything that a server would refuse, and every field that it would ignore.
    pub fn problems(&self, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for entry in &self.schedulers {
            let name = &entry.name;
            if !names.insert(name) {
                problems.push(format!("scheduler {name} is there twice"));
            }
            let active = entry.versions.iter().filter(|v| v.active).count();
            if active != 1 {
                problems.push(format!(
                    "scheduler {name} has {active} versions with `active: true`, it must have one"
                ));
            }
            for version in &entry.versions {
                let found = version.problems(name, text);
                let at = format!("scheduler {name}, {}", version.version);
                problems.extend(found.into_iter().map(|problem| format!("{at}: {problem}")));
            }
        }
        problems
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    // The operator's own file: it may be large.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000_000,
            max_nodes: 50_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| anyhow::anyhow!("{error}"))
}

impl Version {
    fn problems(&self, name: &str, text: &str) -> Vec<String> {
        let line = self.scheduler.referenced.line();
        let body = &self.scheduler.value;
        let at = |problem: String| format!("line {line}: {problem}");
        let request: CreateSchedulerRequest = match decode(body) {
            Ok(request) => request,
            Err(problem) => {
                let named = named_in(&problem);
                let line = named
                    .and_then(|field| unknown::line_of(text, line, field))
                    .unwrap_or(line);
                return vec![format!("line {line}: {problem}")];
            }
        };
        let understood = serde_json::from_str(&codec::encode(&request)).unwrap_or_default();
        let unknown = unknown::fields(body, &understood);
        let mut problems: Vec<String> = unknown
            .into_iter()
            .map(|path| {
                let line = unknown::line_of(text, line, &path).unwrap_or(line);
                format!("line {line}: unknown field {path}")
            })
            .collect();
        if request.name != name {
            problems.push(at(format!(
                "its body has the name {:?} of another",
                request.name
            )));
        }
        match convert::to_domain(request) {
            Err(error) => problems.push(at(error.to_string())),
            Ok(scheduler) => {
                let valid = validation::validate_new(&scheduler);
                problems.extend(valid.err().map(|invalid| at(invalid.to_string())));
            }
        }
        problems
    }
}

/// The field of a codec error: `invalid value for int32 field x: 1`.
fn named_in(problem: &str) -> Option<&str> {
    let (_, behind) = problem.split_once(" field ")?;
    behind.split([':', ' ']).next()
}

/// A body as the server would show it, with all defaults, so that bodies can be compared. `None`:
/// it is not a body.
pub fn shown(body: &Value) -> Option<Value> {
    let request: CreateSchedulerRequest = decode(body).ok()?;
    let scheduler = convert::to_domain(request).ok()?;
    serde_json::from_str(&codec::encode(&convert::scheduler(&scheduler))).ok()
}

/// A body as the message that a call takes.
pub fn decode<M: Message>(body: &Value) -> Result<M, String> {
    if !body.is_object() {
        return Err("`scheduler` must be a body of POST /schedulers".into());
    }
    let json = codec::yaml_to_json(body.to_string().as_bytes())?;
    codec::decode(&json).map_err(|error| {
        // The codec's line numbers refer to the sent body, which the user has not seen.
        let text = error.to_string();
        let bare = text.split_once("): ").map(|(_, bare)| bare.to_owned());
        bare.unwrap_or(text)
    })
}
