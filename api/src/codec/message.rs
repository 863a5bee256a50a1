//! What a message is, and the macro that generates its struct, reader and writer from one declaration.

use super::reader::{Fault, Reader};
use super::wire::{Raw, WireFault};

/// The declaration of a field.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in the proto file: `rooms_replicas`.
    pub proto: &'static str,
    /// The name in JSON: `roomsReplicas`. Requests may use either (contract 2.1).
    pub json: &'static str,
    /// Whether a repetition of the field is reported with an error of its own (fields declared `optional`).
    pub optional: bool,
    /// The number in the proto file, for gRPC (contract 16).
    pub number: u32,
    /// The lines of the doc comment, which the API's users read.
    pub about: &'static [&'static str],
    /// How many values it holds, and whether it can be absent.
    pub kind: Kind,
    /// The type of its value, or of each of its values.
    pub of: Type,
}

/// The kinds of field; [`super::slots`] describes how each is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value; an absent one has its type's default.
    One,
    /// A value that may be absent.
    Opt,
    /// A message that may be absent.
    Msg,
    /// A list of values.
    Many,
    /// A map from string to value.
    Map,
}

/// The type of a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A string.
    Text,
    /// A boolean.
    Bool,
    /// A number of 32 bits.
    Int32,
    /// A number of 32 bits, not negative.
    Uint32,
    /// A number of 64 bits; a string in JSON.
    Int64,
    /// A number of 64 bits, not negative; a string in JSON.
    Uint64,
    /// A floating-point number of 32 bits.
    Float,
    /// A span of time.
    Duration,
    /// A moment.
    Timestamp,
    /// A free JSON object.
    Object,
    /// A nested message.
    Message(&'static Declaration),
}

/// The declaration of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The name in the proto file.
    pub name: &'static str,
    /// The lines of the doc comment.
    pub about: &'static [&'static str],
    /// The fields in the order of the proto file.
    pub fields: &'static [Field],
}

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

/// The Rust type of a field by its kind; see [`super::slots`].
macro_rules! slot {
    (one $type:ty) => { $type };
    (opt $type:ty) => { Option<$type> };
    (msg $type:ty) => { Option<$type> };
    (many $type:ty) => { Vec<$type> };
    (map $type:ty) => { Option<std::collections::BTreeMap<String, $type>> };
}

/// The [`Kind`] that a declaration names.
macro_rules! kind {
    (one) => {
        $crate::codec::Kind::One
    };
    (opt) => {
        $crate::codec::Kind::Opt
    };
    (msg) => {
        $crate::codec::Kind::Msg
    };
    (many) => {
        $crate::codec::Kind::Many
    };
    (map) => {
        $crate::codec::Kind::Map
    };
}

/// Declares messages. Each field has a Rust name (that of the proto file), a JSON name, a kind, a type and a number, in
/// proto order. Comments on messages and fields also go into the OpenAPI description; `@[…]` after them stands for
/// further attributes.
macro_rules! messages {
    ($($(#[doc = $about:literal])* $(@[$attribute:meta])* $name:ident {
        $($(#[doc = $text:literal])* $(@[$of_field:meta])* $field:ident $json:literal $kind:ident $type:ty = $number:literal;)*
    })*) => {$(
        $(#[doc = $about])*
        #[doc = concat!("\n\nMessage `", stringify!($name), "` of the API.")]
        #[derive(Clone, Debug, Default, PartialEq)]
        $(#[$attribute])*
        pub struct $name { $($(#[doc = $text])* #[doc = concat!("\n\n`", $json, "` in JSON.")] $(#[$of_field])* pub $field: slot!($kind $type),)* }

        impl $crate::codec::message::Message for $name {
            const DECLARATION: &'static $crate::codec::Declaration = &$crate::codec::Declaration {
                name: stringify!($name),
                about: &[$($about),*],
                fields: &[$($crate::codec::Field {
                    proto: stringify!($field),
                    json: $json,
                    optional: matches!(stringify!($kind).as_bytes(), b"opt"),
                    number: $number,
                    about: &[$($text),*],
                    kind: kind!($kind),
                    of: <$type as $crate::codec::Json>::TYPE,
                }),*],
            };

            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn read_field(
                &mut self,
                name: &str,
                seen: &mut u64,
                reader: &mut $crate::codec::reader::Reader<'_>,
            ) -> Result<bool, $crate::codec::reader::Fault> {
                let mut bit = 1_u64;
                $(
                    if name == $json || name == stringify!($field) {
                        $crate::codec::message::mark(seen, bit, name, reader)?;
                        $crate::codec::slots::read::$kind(&mut self.$field, reader, $json)?;
                        return Ok(true);
                    }
                    bit <<= 1;
                )*
                Ok(false)
            }

            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn bind(&mut self, position: usize, text: &str) -> Result<(), $crate::codec::message::BindError> {
                let mut left = position;
                $(
                    if left == 0 {
                        return $crate::codec::slots::bind::$kind(&mut self.$field, text);
                    }
                    left -= 1;
                )*
                Err($crate::codec::message::BindError::NotScalar)
            }

            #[allow(unused_variables)]
            fn write_fields(&self, object: &mut $crate::codec::message::Object<'_>) {
                $($crate::codec::slots::write::$kind(&self.$field, object, $json);)*
            }

            #[allow(unused_variables)]
            fn merge_field(
                &mut self,
                number: u32,
                raw: $crate::codec::wire::Raw<'_>,
            ) -> Result<(), $crate::codec::wire::WireFault> {
                match number {
                    $($number => $crate::codec::slots::merge::$kind(&mut self.$field, raw)
                        .map_err(|fault| fault.in_field(stringify!($field))),)*
                    _ => Ok(()),
                }
            }

            #[allow(unused_variables)]
            fn encode_fields(&self, out: &mut Vec<u8>) {
                $($crate::codec::slots::encode::$kind(&self.$field, $number, out);)*
            }
        }

        impl $crate::codec::value::Json for $name {
            const TYPE: $crate::codec::Type =
                $crate::codec::Type::Message(<Self as $crate::codec::message::Message>::DECLARATION);

            fn read(
                reader: &mut $crate::codec::reader::Reader<'_>,
                _field: &'static str,
            ) -> Result<Self, $crate::codec::reader::Fault> {
                $crate::codec::message::read_message(reader)
            }
            fn write(&self, out: &mut String) {
                $crate::codec::message::write_message(self, out);
            }
        }

        impl $crate::codec::wire::Wire for $name {
            /// A message has presence: it is encoded even if it is empty.
            fn is_default(&self) -> bool {
                false
            }
            fn encode(&self, number: u32, out: &mut Vec<u8>) {
                let mut inner = Vec::new();
                $crate::codec::message::Message::encode_fields(self, &mut inner);
                $crate::codec::wire::put_bytes(number, &inner, out);
            }
            fn merge(
                &mut self,
                raw: $crate::codec::wire::Raw<'_>,
            ) -> Result<(), $crate::codec::wire::WireFault> {
                $crate::codec::wire::merge_message(self, raw.bytes()?)
            }
        }
    )*};
}

pub(crate) use {kind, messages, slot};
