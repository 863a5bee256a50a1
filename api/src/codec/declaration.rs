//! How a message is declared: what its readers and writers, its description and the `.proto` files agree on.

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
    pub kind: FieldKind,
    /// The type of its value, or of each of its values.
    pub of: Type,
}

/// The kinds of field; [`super::slots`] describes how each is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
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
    /// A floating-point number of 64 bits.
    Double,
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
