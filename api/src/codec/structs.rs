//! `google.protobuf.Struct`: a free JSON object, kept as text.
//!
//! Pings carry one and most of it is never read, so decoding only validates: not building a map is what keeps pings
//! cheap. Printing puts it into canonical form (sorted keys, numbers as doubles), as the contract's printer does.

use std::collections::BTreeMap;

use super::declaration::Type;
use super::escapes::unquote;
use super::number::{self, double};
use super::reader::{Fault, Reader};
use super::syntax::{self, Visitor};
use super::value::{Json, write_string};

/// A validated JSON object, as the text it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struct(Box<str>);

impl Default for Struct {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl Struct {
    /// Validates `text`: it must be exactly one JSON object.
    ///
    /// # Errors
    /// The reason why the text is not an object that the API can carry.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut reader = Reader::new(text);
        let object = reader.struct_text().map_err(|fault| fault.why)?;
        if reader.peek().is_some() {
            return Err("more than one value".to_owned());
        }
        Ok(Self(object.into()))
    }

    /// Wraps text that is known to be an object with distinct keys.
    pub(super) fn from_valid(text: String) -> Self {
        Self(text.into())
    }

    /// The object as JSON text. It may be nested deeper than recursive readers allow.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object as a map; `None` when it is nested deeper than `serde_json` reads (128 levels).
    pub fn to_map(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_str(&self.0).ok()
    }
}

impl From<&serde_json::Map<String, serde_json::Value>> for Struct {
    fn from(map: &serde_json::Map<String, serde_json::Value>) -> Self {
        // A map of values always serialises.
        serde_json::to_string(map).map_or_else(|_| Self::default(), |text| Self(text.into()))
    }
}

impl Json for Struct {
    const TYPE: Type = Type::Object;

    fn read(reader: &mut Reader<'_>, _field: &'static str) -> Result<Self, Fault> {
        reader.struct_text().map(|text| Self(text.into()))
    }

    fn write(&self, out: &mut String) {
        let mut builder = Builder::default();
        // The text was validated when the value was made, so the walk cannot stop early.
        if syntax::walk(self.0.as_bytes(), 0, 0, &mut builder).is_ok() {
            builder.write(out);
        } else {
            out.push_str("{}");
        }
    }
}

/// A value of the tree that is printed. Containers refer to their members by index, so neither building nor dropping
/// the tree recurses.
pub(super) enum Node<'a> {
    Raw(&'a [u8]),
    Number(&'a [u8]),
    String(String),
    Array(Vec<usize>),
    Object(BTreeMap<String, usize>),
}

#[derive(Default)]
pub(super) struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    open: Vec<usize>,
    keys: Vec<String>,
}

impl<'a> Builder<'a> {
    /// All nodes: the root comes first, and members always come after their container.
    pub(super) fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    fn add(&mut self, node: Node<'a>) {
        let index = self.nodes.len();
        self.nodes.push(node);
        let Some(parent) = self.open.last() else {
            return;
        };
        match &mut self.nodes[*parent] {
            Node::Array(items) => items.push(index),
            Node::Object(members) => {
                members.insert(self.keys.pop().unwrap_or_default(), index);
            }
            Node::Raw(_) | Node::Number(_) | Node::String(_) => {}
        }
    }

    fn write(&self, out: &mut String) {
        let mut work = vec![Step::Value(0)];
        while let Some(step) = work.pop() {
            match step {
                Step::Text(text) => out.push_str(text),
                Step::Key(key) => {
                    write_string(out, key);
                    out.push(':');
                }
                Step::Value(index) => self.write_node(&self.nodes[index], out, &mut work),
            }
        }
    }

    fn write_node<'s>(&'s self, node: &'s Node<'a>, out: &mut String, work: &mut Vec<Step<'s>>) {
        match node {
            Node::Raw(raw) => out.push_str(&String::from_utf8_lossy(raw)),
            Node::Number(raw) => number::write_f64(out, double(raw)),
            Node::String(text) => write_string(out, text),
            Node::Array(items) => {
                out.push('[');
                work.push(Step::Text("]"));
                for (position, index) in items.iter().enumerate().rev() {
                    work.push(Step::Value(*index));
                    if position > 0 {
                        work.push(Step::Text(","));
                    }
                }
            }
            Node::Object(members) => {
                out.push('{');
                work.push(Step::Text("}"));
                for (position, (key, index)) in members.iter().enumerate().rev() {
                    work.push(Step::Value(*index));
                    work.push(Step::Key(key));
                    if position > 0 {
                        work.push(Step::Text(","));
                    }
                }
            }
        }
    }
}

enum Step<'s> {
    Text(&'static str),
    Key(&'s str),
    Value(usize),
}

impl<'a> Visitor<'a> for Builder<'a> {
    fn open(&mut self, object: bool) {
        let index = self.nodes.len();
        self.add(if object {
            Node::Object(BTreeMap::new())
        } else {
            Node::Array(Vec::new())
        });
        self.open.push(index);
    }
    fn key(&mut self, raw: &'a [u8], _escaped: bool) -> Result<(), String> {
        self.keys.push(unquote(raw)?);
        Ok(())
    }
    fn string(&mut self, raw: &'a [u8], _escaped: bool) -> Result<(), String> {
        self.add(Node::String(unquote(raw)?));
        Ok(())
    }
    fn number(&mut self, raw: &'a [u8]) -> Result<(), String> {
        self.add(Node::Number(raw));
        Ok(())
    }
    fn literal(&mut self, raw: &'a [u8]) {
        self.add(Node::Raw(raw));
    }
    fn close(&mut self) -> Result<(), String> {
        self.open.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Result<String, String> {
        Struct::from_text(text).map(|value| {
            let mut out = String::new();
            value.write(&mut out);
            out
        })
    }

    #[test]
    fn a_struct_prints_sorted_with_doubles() {
        let text =
            r#"{"b":[1.0,{"z":null,"y":"\u0041"}],"a":1e3,"c":{},"d":[],"e":12345678901234567890}"#;
        let expected =
            r#"{"a":1000,"b":[1,{"y":"A","z":null}],"c":{},"d":[],"e":12345678901234567000}"#;
        assert_eq!(printed(text).as_deref(), Ok(expected));
    }

    #[test]
    fn a_struct_refuses_what_it_could_not_carry() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"x":1,"\u0078":2}}"#,
            r#"{"a":1e999}"#,
            r#"{"a":"\ud800"}"#,
            "[]",
            "{} 1",
        ] {
            assert!(printed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deep_values_print_without_recursion() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(9_000), "]".repeat(9_000));
        assert_eq!(printed(&text), Ok(text));
    }
}
