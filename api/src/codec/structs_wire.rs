//! Converts `google.protobuf.Struct` between text and bytes, without recursion in either direction.
//!
//! The field numbers are those of `google/protobuf/struct.proto`.

use std::collections::{BTreeMap, btree_map};

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::number::{self, double};
use super::structs::{Builder, Node, Struct};
use super::syntax::{self, MAX_DEPTH};
use super::value::write_string;
use super::wire::{Raw, Wire, WireFault, next, put_bytes};

impl Wire for Struct {
    fn is_default(&self) -> bool {
        self.as_str() == "{}"
    }

    fn encode(&self, number: u32, out: &mut Vec<u8>) {
        put_bytes(number, &to_bytes(self.as_str()), out);
    }

    /// A repeated field replaces the earlier one: merging would let a client multiply the cost of its request.
    fn merge(&mut self, raw: Raw<'_>) -> Result<(), WireFault> {
        *self = Self::from_valid(to_text(raw.bytes()?)?);
        Ok(())
    }
}

/// An object or a list being printed, with the members that are still to come.
enum Open<'a> {
    Object(btree_map::IntoIter<&'a str, &'a [u8]>),
    List(&'a [u8]),
}

/// A `Value`. One without a kind is null, as the original reads it.
enum Kind<'a> {
    Null,
    Number(f64),
    Text(&'a str),
    Bool(bool),
    Object(&'a [u8]),
    List(&'a [u8]),
}

fn to_text(fields: &[u8]) -> Result<String, WireFault> {
    let mut out = String::from("{");
    let mut open = vec![Open::Object(members(fields)?.into_iter())];
    let mut first = true;
    while let Some(innermost) = open.last_mut() {
        let value = match innermost {
            Open::Object(members) => members.next().map(|(key, value)| (Some(key), value)),
            Open::List(rest) => item(rest)?.map(|value| (None, value)),
        };
        let Some((key, value)) = value else {
            out.push(match innermost {
                Open::Object(_) => '}',
                Open::List(_) => ']',
            });
            open.pop();
            first = false;
            continue;
        };
        if !std::mem::replace(&mut first, false) {
            out.push(',');
        }
        if let Some(key) = key {
            write_string(&mut out, key);
            out.push(':');
        }
        let inner = match kind(value)? {
            Kind::Object(fields) => Open::Object(members(fields)?.into_iter()),
            Kind::List(items) => Open::List(items),
            scalar => {
                write_scalar(&scalar, &mut out);
                continue;
            }
        };
        if open.len() == MAX_DEPTH {
            return Err(WireFault("exceeded max depth".to_owned()));
        }
        out.push(match inner {
            Open::Object(_) => '{',
            Open::List(_) => '[',
        });
        open.push(inner);
        first = true;
    }
    Ok(out)
}

fn write_scalar(scalar: &Kind<'_>, out: &mut String) {
    match scalar {
        // NaN and the infinities, for which JSON has no number, become strings.
        Kind::Number(number) => number::write_f64(out, *number),
        Kind::Text(text) => write_string(out, text),
        Kind::Bool(true) => out.push_str("true"),
        Kind::Bool(false) => out.push_str("false"),
        Kind::Null | Kind::Object(_) | Kind::List(_) => out.push_str("null"),
    }
}

/// The fields of a `Struct` by name; of two with the same name, the later one wins.
fn members(mut fields: &[u8]) -> Result<BTreeMap<&str, &[u8]>, WireFault> {
    let mut members = BTreeMap::new();
    while let Some((number, raw)) = next(&mut fields)? {
        if number != 1 {
            continue;
        }
        let (mut entry, mut key, mut value) = (raw.bytes()?, "", &[][..]);
        while let Some((number, raw)) = next(&mut entry)? {
            match number {
                1 => key = raw.text()?,
                2 => value = raw.bytes()?,
                _ => {}
            }
        }
        members.insert(key, value);
    }
    Ok(members)
}

/// Takes the next item from a `ListValue`.
fn item<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, WireFault> {
    while let Some((number, raw)) = next(rest)? {
        if number == 1 {
            return raw.bytes().map(Some);
        }
    }
    Ok(None)
}

fn kind(mut value: &[u8]) -> Result<Kind<'_>, WireFault> {
    let mut kind = Kind::Null;
    while let Some((number, raw)) = next(&mut value)? {
        kind = match number {
            1 => raw.varint().map(|_| Kind::Null)?,
            2 => Kind::Number(f64::from_le_bytes(raw.fixed64()?)),
            3 => Kind::Text(raw.text()?),
            4 => Kind::Bool(raw.varint()? != 0),
            5 => Kind::Object(raw.bytes()?),
            6 => Kind::List(raw.bytes()?),
            _ => continue,
        };
    }
    Ok(kind)
}

fn to_bytes(text: &str) -> Vec<u8> {
    let mut builder = Builder::default();
    // The text was validated when the value was made, so the walk cannot stop early.
    if syntax::walk(text.as_bytes(), 0, 0, &mut builder).is_err() {
        return Vec::new();
    }
    let nodes = builder.nodes();
    let sizes = sizes(nodes);
    let mut out = Vec::with_capacity(sizes.first().copied().unwrap_or_default());
    let mut work = vec![Step::Inside(0)];
    while let Some(step) = work.pop() {
        match step {
            Step::Inside(index) => match &nodes[index] {
                Node::Object(members) => {
                    work.extend(members.iter().rev().map(|(key, at)| Step::Member(key, *at)));
                }
                Node::Array(items) => work.extend(items.iter().rev().map(|at| Step::Item(*at))),
                Node::Raw(_) | Node::Number(_) | Node::String(_) => {}
            },
            Step::Member(key, index) => {
                put_head(
                    1,
                    member_size(key, value_size(nodes, &sizes, index)),
                    &mut out,
                );
                put_bytes(1, key.as_bytes(), &mut out);
                put_head(2, value_size(nodes, &sizes, index), &mut out);
                put_value(nodes, &sizes, index, &mut out);
                work.push(Step::Inside(index));
            }
            Step::Item(index) => {
                put_head(1, value_size(nodes, &sizes, index), &mut out);
                put_value(nodes, &sizes, index, &mut out);
                work.push(Step::Inside(index));
            }
        }
    }
    out
}

enum Step<'s> {
    Inside(usize),
    Member(&'s str, usize),
    Item(usize),
}

/// The size of each node's content: the fields of an object, the items of a list, the bytes of a string. Members come
/// after their container, so a single pass from the end knows them first.
fn sizes(nodes: &[Node<'_>]) -> Vec<usize> {
    let mut sizes = vec![0; nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        sizes[index] = match node {
            Node::Object(members) => members
                .iter()
                .map(|(key, at)| with_head(member_size(key, value_size(nodes, &sizes, *at))))
                .sum(),
            Node::Array(items) => items
                .iter()
                .map(|at| with_head(value_size(nodes, &sizes, *at)))
                .sum(),
            Node::String(text) => text.len(),
            Node::Raw(_) | Node::Number(_) => 0,
        };
    }
    sizes
}

/// The encoded size of the `Value` that wraps a node.
fn value_size(nodes: &[Node<'_>], sizes: &[usize], index: usize) -> usize {
    match &nodes[index] {
        Node::Raw(_) => 2,
        Node::Number(_) => 9,
        Node::String(_) | Node::Array(_) | Node::Object(_) => with_head(sizes[index]),
    }
}

fn member_size(key: &str, value: usize) -> usize {
    with_head(key.len()) + with_head(value)
}

/// The size of a one-byte key, a length, and that many bytes.
fn with_head(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn put_head(number: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// Writes the `Value` that wraps a node; of a container only the head.
fn put_value(nodes: &[Node<'_>], sizes: &[usize], index: usize, out: &mut Vec<u8>) {
    match &nodes[index] {
        Node::Raw(b"null") => 0_i32.encode(1, out),
        Node::Raw(word) => (*word == b"true").encode(4, out),
        Node::Number(raw) => {
            encode_key(2, WireType::SixtyFourBit, out);
            out.extend_from_slice(&double(raw).to_le_bytes());
        }
        Node::String(text) => text.encode(3, out),
        Node::Object(_) => put_head(5, sizes[index], out),
        Node::Array(_) => put_head(6, sizes[index], out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(text: &str) -> String {
        let there = Struct::from_text(text).unwrap();
        let mut out = Vec::new();
        there.encode(1, &mut out);
        let (_, raw) = next(&mut out.as_slice()).unwrap().unwrap();
        let mut back = Struct::default();
        back.merge(raw).unwrap();
        back.as_str().to_owned()
    }

    #[test]
    fn objects_come_back_sorted_with_doubles() {
        for (text, expected) in [
            ("{}", "{}"),
            (
                r#"{"b":[1.0,{"z":null,"y":"\u0041"},[],{}],"a":1e3,"c":{},"d":true,"":false}"#,
                r#"{"":false,"a":1000,"b":[1,{"y":"A","z":null},[],{}],"c":{},"d":true}"#,
            ),
        ] {
            assert_eq!(back(text), expected);
        }
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
        assert_eq!(back(&long), long);
    }

    #[test]
    fn deep_objects_travel_without_recursion_up_to_the_bound() {
        let deep =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let text = deep(MAX_DEPTH - 1);
        assert_eq!(back(&text), text);

        let mut inner = Vec::new();
        for _ in 0..MAX_DEPTH {
            let mut outer = Vec::new();
            put_bytes(6, &inner, &mut outer);
            inner.clear();
            put_bytes(1, &outer, &mut inner);
        }
        let mut entry = Vec::new();
        let mut value = Vec::new();
        put_bytes(6, &inner, &mut value);
        put_bytes(2, &value, &mut entry);
        let mut fields = Vec::new();
        put_bytes(1, &entry, &mut fields);
        let refused = Struct::default().merge(Raw::Bytes(&fields));
        assert_eq!(refused, Err(WireFault("exceeded max depth".to_owned())));
    }

    #[test]
    fn what_json_cannot_say_is_a_text() {
        let mut value = Struct::default();
        let number = |key: &str, number: f64| {
            let (mut value, mut entry, mut fields) = (vec![0x11], Vec::new(), Vec::new());
            value.extend_from_slice(&number.to_le_bytes());
            put_bytes(1, key.as_bytes(), &mut entry);
            put_bytes(2, &value, &mut entry);
            put_bytes(1, &entry, &mut fields);
            fields
        };
        let fields = [
            number("n", f64::NAN),
            number("m", 2.5),
            // A field without a value, and a name that occurs twice.
            b"\x0a\x03\x0a\x01k".to_vec(),
            number("m", -1.0),
        ];
        value.merge(Raw::Bytes(&fields.concat())).unwrap();
        assert_eq!(value.as_str(), r#"{"k":null,"m":-1,"n":"NaN"}"#);
    }
}
