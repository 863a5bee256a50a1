//! What a message is, and how one is read and written, whatever its fields.

use super::declaration::{Declaration, Field};
use super::reader::{Fault, Reader};
use super::wire::{Raw, WireFault, next};

/// Why a path or query parameter could not be bound to a field.
#[derive(Debug, PartialEq, Eq)]
pub enum BindError {
    /// The field is a message, a list or a map.
    NotScalar,
    /// The text is not a value of the field's type; worded as Go does.
    Invalid(String),
}

/// A message of the API.
pub trait Message: Default + Sized + Send + 'static {
    /// The message's declaration.
    const DECLARATION: &'static Declaration;
    /// The message's fields, in the order of the proto file.
    const FIELDS: &'static [Field] = Self::DECLARATION.fields;

    /// Reads the member called `name` if the message has such a field. `seen` marks fields that have occurred.
    ///
    /// # Errors
    /// When the value does not fit the field.
    fn read_field(
        &mut self,
        name: &str,
        seen: &mut u64,
        reader: &mut Reader<'_>,
    ) -> Result<bool, Fault>;

    /// Sets the field at this position of [`Self::FIELDS`] from a path or query parameter.
    ///
    /// # Errors
    /// When the field cannot be a parameter, or the text is not a value of its type.
    fn bind(&mut self, position: usize, text: &str) -> Result<(), BindError>;

    /// Writes all fields as JSON.
    fn write_fields(&self, object: &mut Object<'_>);

    /// Merges the value of the field with this number from the wire; unknown numbers are ignored.
    ///
    /// # Errors
    /// When the value does not fit the field.
    fn merge_field(&mut self, number: u32, raw: Raw<'_>) -> Result<(), WireFault>;

    /// Encodes all fields for gRPC.
    fn encode_fields(&self, out: &mut Vec<u8>);
}

/// Marks a field as seen. A repetition is an error, in either spelling and even after a null (contract 15.2).
pub fn mark(seen: &mut u64, bit: u64, name: &str, reader: &Reader<'_>) -> Result<(), Fault> {
    if *seen & bit != 0 {
        return Err(reader.fault(format!("duplicate field {name:?}")));
    }
    *seen |= bit;
    Ok(())
}

pub fn read_message<M: Message>(reader: &mut Reader<'_>) -> Result<M, Fault> {
    reader.open(b'{')?;
    let mut message = M::default();
    let mut seen = 0;
    let mut first = true;
    while reader.next(&mut first, b'}')? {
        let name = reader.key()?;
        if !message.read_field(&name, &mut seen, reader)? {
            reader.skip()?;
        }
    }
    Ok(message)
}

pub fn write_message<M: Message>(message: &M, out: &mut String) {
    out.push('{');
    message.write_fields(&mut Object { out, empty: true });
    out.push('}');
}

/// Merges the fields of a message into `message`. Unknown field numbers are ignored.
pub fn merge_message<M: Message>(message: &mut M, mut bytes: &[u8]) -> Result<(), WireFault> {
    while let Some((number, raw)) = next(&mut bytes)? {
        message.merge_field(number, raw)?;
    }
    Ok(())
}

/// Writes the members of a JSON object.
pub struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl Object<'_> {
    /// Writes the name of a field; the caller appends the value to the returned buffer.
    pub fn field(&mut self, name: &str) -> &mut String {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(',');
        }
        self.out.push('"');
        // Field names are identifiers, so nothing needs escaping.
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }
}
