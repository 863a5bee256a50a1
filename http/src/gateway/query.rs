//! Query strings and forms, and how their values are bound to fields (contract 2.1, 15.7, 15.8).

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use maestro_api::Status;
use maestro_api::codec::{BindError, Field, Message};

use super::answer::Failure;
use super::params::Params;
use super::path::{to_text, unescape};

/// The values of a query or form by name, in order of their first appearance.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Values {
    all: Vec<(String, Vec<String>)>,
    /// Index of each name: a form may contain a quarter of a million names.
    places: HashMap<String, usize>,
    damaged: bool,
}

impl Values {
    /// Adds the pairs of a form, followed by those of a query.
    ///
    /// # Errors
    /// The error in the form, else that in the query; both are parsed to the end in any case.
    pub fn parse(&mut self, form: &[u8], query: &str) -> Result<(), Status> {
        let text = String::from_utf8_lossy(form);
        self.damaged |= matches!(text, Cow::Owned(_));
        let form = self.pairs(&text);
        let query = self.pairs(query);
        form.and(query)
    }

    /// Whether there was invalid UTF-8.
    pub fn damaged(&self) -> bool {
        self.damaged
    }

    fn pairs(&mut self, text: &str) -> Result<(), Status> {
        let mut fault = None;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                fault = Some("invalid semicolon separator in query".to_owned());
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (unescape(name, true), unescape(value, true)) {
                (Ok(name), Ok(value)) => self.add(name, value),
                (Err(escape), _) | (_, Err(escape)) => {
                    fault.get_or_insert_with(|| format!("invalid URL escape {escape:?}"));
                }
            }
        }
        fault.map_or(Ok(()), |message| Err(Status::invalid_argument(message)))
    }

    fn add(&mut self, name: Vec<u8>, value: Vec<u8>) {
        let ((name, bad_name), (value, bad_value)) = (to_text(name), to_text(value));
        self.damaged |= bad_name || bad_value;
        match self.places.entry(name) {
            Entry::Occupied(place) => self.all[*place.get()].1.push(value),
            Entry::Vacant(place) => {
                self.all.push((place.key().clone(), vec![value]));
                place.insert(self.all.len() - 1);
            }
        }
    }

    /// Sets the fields of `message`, except those that the path sets. Unknown names are ignored.
    pub fn bind<M: Message>(&self, message: &mut M, path: &Params<'_>) -> Result<(), Failure> {
        let mut seen = 0_u64;
        for (name, values) in &self.all {
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

/// `name[key]=value` counts as a second value of `name`: the original parses it as map syntax.
fn subscript<'v>(name: &'v str, values: &'v [String]) -> (&'v str, Cow<'v, [String]>) {
    match name
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['))
    {
        Some((name, key)) => {
            let key = std::iter::once(key.to_owned());
            (name, key.chain(values.iter().cloned()).collect())
        }
        None => (name, Cow::Borrowed(values)),
    }
}

fn checked<'v>(
    field: &Field,
    nested: bool,
    taken: bool,
    values: &'v [String],
) -> Result<&'v str, Failure> {
    let name = field.proto;
    if field.optional && taken {
        return Err(invalid(format!("field already set for oneof \"_{name}\"")));
    }
    if nested {
        return Err(invalid(format!("invalid path: {name:?} is not a message")));
    }
    match values {
        [value] => Ok(value),
        many => {
            let all = many.join(", ");
            Err(invalid(format!(
                "too many values for field {name:?}: {all}"
            )))
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::Status(Status::invalid_argument(message))
}
