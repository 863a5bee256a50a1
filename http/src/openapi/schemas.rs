//! Schemas of the messages, generated from their declarations.
//!
//! A message that is used both ways has two schemas: requests may leave out any field, answers only those declared
//! `optional` (contract 2.1). The schema for requests is then called `…Input`.

use std::collections::BTreeSet;

use maestro_api::codec::{Declaration, Field, FieldKind, Type};

use super::tree::{Tree, object};

/// The direction in which a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Request,
    Answer,
}

/// All messages that the routes need, in order of first use.
#[derive(Default)]
pub struct Schemas {
    wanted: Vec<(Way, &'static Declaration, Vec<&'static str>)>,
    answers: BTreeSet<&'static str>,
}

/// A reference to a schema of the document.
pub fn reference(name: &str) -> Tree {
    object! { "$ref" => format!("#/components/schemas/{name}") }
}

/// Joins the lines of a comment.
pub fn text_of(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

impl Schemas {
    /// Adds a message and the messages it consists of.
    pub fn add(&mut self, way: Way, message: &'static Declaration) {
        self.add_without(way, message, &[]);
    }

    /// The same for a message some of whose fields are not in the body.
    pub fn add_without(
        &mut self,
        way: Way,
        message: &'static Declaration,
        beside: &[&'static str],
    ) {
        let known = |(w, m, _): &(Way, &Declaration, _)| *w == way && m.name == message.name;
        if self.wanted.iter().any(known) {
            return;
        }
        if way == Way::Answer {
            self.answers.insert(message.name);
        }
        self.wanted.push((way, message, beside.to_vec()));
        for field in message.fields {
            if let Type::Message(part) = field.of {
                self.add(way, part);
            }
        }
    }

    /// The name of a message's schema.
    pub fn name(&self, way: Way, message: &Declaration) -> String {
        match way {
            Way::Request if self.answers.contains(message.name) => format!("{}Input", message.name),
            Way::Request | Way::Answer => message.name.to_owned(),
        }
    }

    /// Every schema with its name.
    pub fn all(&self) -> Vec<(String, Tree)> {
        let each = self.wanted.iter();
        each.map(|(way, message, beside)| {
            let schema = self.message(*way, message, beside);
            (self.name(*way, message), schema)
        })
        .collect()
    }

    fn message(&self, way: Way, message: &Declaration, beside: &[&str]) -> Tree {
        let fields = || message.fields.iter().filter(|f| !beside.contains(&f.proto));
        let members: Vec<(String, Tree)> = fields()
            .map(|field| (field.json.to_owned(), self.field(way, field)))
            .collect();
        let always: Vec<Tree> = fields()
            .filter(|field| way == Way::Answer && field.kind != FieldKind::Opt)
            .map(|field| field.json.into())
            .collect();
        let mut schema = object! { "type" => "object" }
            .with_text("description", &text_of(message.about))
            .with("properties", members);
        if !always.is_empty() {
            schema = schema.with("required", always);
        }
        schema
    }

    fn field(&self, way: Way, field: &Field) -> Tree {
        let one = self.value(way, field.of);
        let schema = match field.kind {
            FieldKind::One | FieldKind::Opt => one,
            FieldKind::Msg if way == Way::Request => one,
            FieldKind::Msg => object! { "oneOf" => vec![one, object! { "type" => "null" }] },
            FieldKind::Many => object! { "type" => "array", "items" => one },
            FieldKind::Map => object! { "type" => "object", "additionalProperties" => one },
        };
        schema.with_text("description", &text_of(field.about))
    }

    fn value(&self, way: Way, of: Type) -> Tree {
        match (of, way) {
            (Type::Message(message), _) => reference(&self.name(way, message)),
            (Type::Int64, Way::Request) => object! {
                "type" => vec![Tree::from("integer"), "string".into()],
                "format" => "int64",
                "pattern" => "^-?[0-9]+$",
            },
            (Type::Duration, Way::Request) => object! {
                "type" => "string",
                "pattern" => r"^([-+]?([0-9]+(\.[0-9]{0,9})?|\.[0-9]{1,9})s|[0-9]+)$",
            },
            (of, _) => plain(of),
        }
    }
}

/// The schema of a value, as answers contain it and requests should.
pub fn plain(of: Type) -> Tree {
    match of {
        Type::Text => object! { "type" => "string" },
        Type::Bool => object! { "type" => "boolean" },
        Type::Int32 => object! { "type" => "integer", "format" => "int32" },
        Type::Uint32 => {
            object! { "type" => "integer", "minimum" => 0, "maximum" => u32::MAX }
        }
        Type::Int64 => {
            object! { "type" => "string", "format" => "int64", "pattern" => "^-?[0-9]+$" }
        }
        Type::Uint64 => {
            object! { "type" => "string", "format" => "uint64", "pattern" => "^[0-9]+$" }
        }
        Type::Float => object! { "type" => "number", "format" => "float" },
        Type::Double => object! { "type" => "number", "format" => "double" },
        Type::Duration => object! {
            "type" => "string",
            "pattern" => r"^-?[0-9]+(\.([0-9]{3}|[0-9]{6}|[0-9]{9}))?s$",
        },
        Type::Timestamp => object! { "type" => "string", "format" => "date-time" },
        Type::Object => object! { "type" => "object", "additionalProperties" => true },
        Type::Message(message) => reference(message.name),
    }
}
