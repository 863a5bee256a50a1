//! Scheduler bodies in YAML (decision D25) are converted to JSON, so that one codec reads both. The origin of each
//! piece of the JSON is kept, so that errors name lines of the YAML document.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

/// Fields in which a bare number means seconds (decision D14): `terminationGracePeriod: 100`.
const SECONDS_FIELDS: [&str; 2] = ["terminationGracePeriod", "termination_grace_period"];

/// A YAML document as JSON.
#[derive(Debug, Default)]
pub struct FromYaml {
    pub json: String,
    /// Where each key and value begins in the JSON, and its location in the YAML, in order.
    places: Vec<(usize, Location)>,
    /// Numbers and booleans whose YAML spelling differs from the JSON: their range in the JSON, and their original
    /// text, in order.
    written: Vec<(Range<usize>, String)>,
}

/// Converts a YAML document to JSON text. The parser itself bounds depth, aliases and size.
///
/// # Errors
/// The position at which the document is not YAML or cannot be represented in JSON.
pub fn yaml_to_json(body: &[u8]) -> Result<Vec<u8>, String> {
    FromYaml::read(body).map(|read| read.json.into_bytes())
}

/// Stack of the parser thread. Each level of nesting takes some KiB of stack, much more in a debug build, and the
/// servers' threads have too little. Untouched pages cost nothing.
const STACK_BYTES: usize = 32 << 20;

impl FromYaml {
    /// Reads a document on a thread of its own.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().name("yaml".into());
            let reader = reader.stack_size(STACK_BYTES);
            let reading = reader.spawn_scoped(scope, || Self::read_here(body));
            let reading =
                reading.map_err(|error| complaint(&format!("no thread to read it: {error}")))?;
            let read = reading.join();
            read.unwrap_or_else(|_| Err(complaint("its reader panicked; send it as JSON")))
        })
    }

    fn read_here(body: &[u8]) -> Result<Self, String> {
        let mut read = Self::default();
        if body.trim_ascii().is_empty() {
            return Ok(read);
        }
        let document: Spanned<Node> = serde_saphyr::from_slice_with_options(body, options())
            .map_err(|error: serde_saphyr::Error| {
                // The parser's default messages are written for programmers.
                complaint(&error.render_with_formatter(&UserMessageFormatter))
            })?;
        if !matches!(document.value, Node::Null) {
            let text = std::str::from_utf8(body).unwrap_or_default();
            read.write(&document, "", text)
                .map_err(|error| complaint(&error.to_string()))?;
        }
        Ok(read)
    }

    /// Line and column in the YAML, from 1, for a position in the JSON.
    pub fn place(&self, at: usize) -> (u64, u64) {
        let before = self.places.partition_point(|(begin, _)| *begin <= at);
        match self.places.get(before.saturating_sub(1)) {
            Some((_, place)) => (place.line(), place.column()),
            None => (1, 1),
        }
    }

    /// Replaces a value in an error message by its spelling in the YAML: `007`, not the `7.0` that it is read as.
    pub fn in_its_words(&self, at: usize, why: &str) -> String {
        let found = self
            .written
            .binary_search_by_key(&at, |(json, _)| json.start);
        let said = found.ok().and_then(|index| {
            let (json, own) = &self.written[index];
            let before = why.strip_suffix(self.json.get(json.clone())?)?;
            Some(format!("{before}{own}"))
        });
        said.unwrap_or_else(|| why.to_owned())
    }

    /// Writes a node as JSON. `field` is the field that it is the value of, `text` the document.
    fn write(
        &mut self,
        node: &Spanned<Node>,
        field: &str,
        text: &str,
    ) -> Result<(), serde_json::Error> {
        let begin = self.json.len();
        self.places.push((begin, node.referenced));
        match &node.value {
            Node::Null => self.json.push_str("null"),
            Node::Bool(value) => self.json.push_str(if *value { "true" } else { "false" }),
            Node::Number(n) if n.is_u64() && SECONDS_FIELDS.contains(&field) => {
                self.json.push_str(&format!("\"{n}\""));
            }
            Node::Number(number) => self.json.push_str(&number.to_string()),
            Node::Text(text) => self.json.push_str(&serde_json::to_string(text)?),
            Node::List(items) => {
                self.json.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.comma(index);
                    self.write(item, "", text)?;
                }
                self.json.push(']');
            }
            Node::Map(members) => {
                self.json.push('{');
                for (index, (name, member)) in members.iter().enumerate() {
                    self.comma(index);
                    self.places.push((self.json.len(), name.referenced));
                    self.json.push_str(&serde_json::to_string(&name.value)?);
                    self.json.push(':');
                    self.write(member, &name.value, text)?;
                }
                self.json.push('}');
            }
        }
        if matches!(node.value, Node::Bool(_) | Node::Number(_))
            && let Some(own) = own_text(text, node.defined)
            && own != &self.json[begin..]
        {
            self.written.push((begin..self.json.len(), own.to_owned()));
        }
        Ok(())
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.json.push(',');
        }
    }
}

/// The source text of a value; `None` if it contains more than the value, such as a tag.
fn own_text(text: &str, at: Location) -> Option<&str> {
    let span = at.span();
    let begin = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let own = text.get(begin..begin.checked_add(length)?)?.trim();
    (!own.is_empty() && !own.contains(['!', ' ', '\n'])).then_some(own)
}

/// Limits far beyond any scheduler, yet small enough to parse in some tens of milliseconds: aliases can make a small
/// body large.
fn options() -> serde_saphyr::Options {
    const EVENTS_MAX: usize = 100_000;
    const DEPTH_MAX: usize = 64;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_events: EVENTS_MAX,
            max_recorded_anchor_events: EVENTS_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: EVENTS_MAX,
        },
    }
}

/// Shortens the excerpt of the document that the parser's messages contain.
fn complaint(why: &str) -> String {
    const SHOWN: usize = 1_000;
    format!("invalid YAML: {}", &why[..why.floor_char_boundary(SHOWN)])
}

/// A value, with the locations of its members.
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    /// JSON cannot represent NaN and the infinities.
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Node::Map(map))
    }
}
