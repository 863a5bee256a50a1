//! Query strings and forms, and how their values become fields (contract 2.1, 15.7, 15.8).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::answer::Failure;
use super::path::{to_text, unescape};
use super::route::Params;
use super::status::Status;
use crate::codec::{BindError, Field, Message};

/// The values of a query or form, by name, in order of first appearance.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Values {
    all: Vec<(Text, Vec<Text>)>,
    /// Where each name stands: a form may have a quarter of a million of them.
    places: HashMap<Text, usize>,
}

/// A decoded piece of a query, and whether its bytes were not UTF-8.
type Text = (String, bool);

impl Values {
    /// Adds the pairs of `text`.
    pub fn parse(&mut self, text: &str) -> Result<(), Status> {
        let mut fault = None;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                fault = Some("invalid semicolon separator in query".to_owned());
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (unescape(name, true), unescape(value, true)) {
                (Ok(name), Ok(value)) => self.add(to_text(name), to_text(value)),
                (Err(escape), _) | (_, Err(escape)) => {
                    fault.get_or_insert_with(|| format!("invalid URL escape {escape:?}"));
                }
            }
        }
        fault.map_or(Ok(()), |message| Err(Status::invalid_argument(message)))
    }

    fn add(&mut self, name: Text, value: Text) {
        match self.places.entry(name) {
            Entry::Occupied(place) => self.all[*place.get()].1.push(value),
            Entry::Vacant(place) => {
                self.all.push((place.key().clone(), vec![value]));
                place.insert(self.all.len() - 1);
            }
        }
    }

    /// Sets the fields of `message`, except those that the path sets. Unknown names are ignored.
    pub fn bind<M: Message>(
        &self,
        message: &mut M,
        path: &Params<'_>,
        strict: bool,
    ) -> Result<(), Failure> {
        let mut seen = 0_u64;
        for ((name, _), values) in &self.all {
            let (name, values) = subscript(name, values);
            let (head, nested) = name
                .split_once('.')
                .map_or((name, false), |(head, _)| (head, true));
            let Some(position) = M::FIELDS
                .iter()
                .position(|f| f.proto == head || f.json == head)
            else {
                continue;
            };
            let field = &M::FIELDS[position];
            if path.sets(field.proto) {
                continue;
            }
            let taken = seen & 1 << position != 0;
            seen |= 1 << position;
            let text = checked(field, nested, taken, &values)?;
            if strict && values.iter().any(|(_, damaged)| *damaged) {
                return Err(Failure::Unprintable);
            }
            match message.bind(position, text) {
                Ok(()) | Err(BindError::NotScalar) => {}
                Err(BindError::Invalid(why)) => {
                    return Err(invalid(format!("parsing field {:?}: {why}", field.proto)));
                }
            }
        }
        Ok(())
    }
}

/// `name[key]=value` counts as a second value of `name`: the original reads it as map syntax.
fn subscript<'v>(name: &'v str, values: &'v [Text]) -> (&'v str, Vec<Text>) {
    match name
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['))
    {
        Some((name, key)) => (
            name,
            std::iter::once((key.to_owned(), false))
                .chain(values.iter().cloned())
                .collect(),
        ),
        None => (name, values.to_vec()),
    }
}

fn checked<'v>(
    field: &Field,
    nested: bool,
    taken: bool,
    values: &'v [Text],
) -> Result<&'v str, Failure> {
    let name = field.proto;
    if field.optional && taken {
        return Err(invalid(format!("field already set for oneof \"_{name}\"")));
    }
    if nested {
        return Err(invalid(format!("invalid path: {name:?} is not a message")));
    }
    match values {
        [(value, _)] => Ok(value),
        many => {
            let all = many
                .iter()
                .map(|(value, _)| value.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            Err(invalid(format!(
                "too many values for field {name:?}: {all}"
            )))
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::Status(Status::invalid_argument(message))
}
