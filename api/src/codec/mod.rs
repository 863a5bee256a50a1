//! Proto-JSON (contract 2.1, 2.3, 15, 16): reads every message from JSON and writes it as JSON.
//!
//! Bodies are read in one pass. Only if that pass fails is the text checked again for its grammar alone, because a
//! syntax error anywhere in the first value takes precedence over an error in an earlier field. Numbers, presence and
//! duplicates follow proto-JSON's rules, not serde's; that is why the code is not derived. gRPC carries the same
//! messages as protocol buffers ([`from_wire`], [`to_wire`]).

mod declaration;
mod escapes;
mod macros;
mod message;
pub mod messages;
mod number;
mod reader;
mod slots;
mod struct_check;
mod structs;
mod structs_wire;
mod syntax;
mod time;
mod value;
mod wire;
mod yaml;

pub use declaration::{Declaration, Field, FieldKind, Type};
pub use message::{BindError, Message};
pub use structs::Struct;
pub use syntax::MAX_DEPTH;
pub use time::Duration;
pub(crate) use time::parse_timestamp;
pub use value::{Json, write_string};
use yaml::FromYaml;
pub use yaml::yaml_to_json;

use reader::{Fault, Reader};

/// Why a body is not a valid message. Its text is the message of the 400 answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Reads a message from a body. A blank body is an empty message; text after the first value is ignored.
///
/// # Errors
/// Syntax errors in Go's wording, anything else with the prefix `proto:` (contract 15.1).
pub fn decode<M: Message>(body: &[u8]) -> Result<M, DecodeError> {
    let start = syntax::skip_blanks(body, 0);
    let body = &body[start..];
    if body.is_empty() {
        return Ok(M::default());
    }
    // Text after the first value is ignored, so invalid UTF-8 there must not cause an error: only the valid prefix is
    // read.
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
    };
    message::read_message(&mut Reader::new(text)).map_err(|fault| complaint(body, text, &fault))
}

/// Reads a message from a body in YAML (decision D25).
///
/// # Errors
/// As for [`decode`], with lines and columns of the YAML.
pub fn decode_yaml<M: Message>(body: &[u8]) -> Result<M, DecodeError> {
    let read = FromYaml::read(body).map_err(DecodeError)?;
    if read.json.is_empty() {
        return Ok(M::default());
    }
    message::read_message(&mut Reader::new(&read.json)).map_err(|fault| {
        let (line, column) = read.place(fault.at);
        told(line, column, &read.in_its_words(fault.at, &fault.why))
    })
}

/// Writes a message.
pub fn encode<M: Message>(message: &M) -> String {
    // Enough for most answers; a ping's takes a tenth of it.
    let mut out = String::with_capacity(128);
    message::write_message(message, &mut out);
    out
}

/// Reads a message from the bytes that gRPC carries.
///
/// # Errors
/// The defect in the bytes, with the prefix `proto:` as for a JSON body.
pub fn from_wire<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut message = M::default();
    match message::merge_message(&mut message, bytes) {
        Ok(()) => Ok(message),
        Err(fault) => Err(DecodeError(format!("proto: {}", fault.0))),
    }
}

/// Encodes a message for gRPC.
pub fn to_wire<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode_fields(&mut out);
    out
}

fn complaint(body: &[u8], text: &str, fault: &Fault) -> DecodeError {
    if let Some(error) = syntax::first_error(body) {
        return DecodeError(error.to_string());
    }
    let before = &text[..text.floor_char_boundary(fault.at)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    // The error quotes the token at the fault; the cause may be that the valid text ends inside it.
    let cut = text.len() < body.len();
    let why = if cut && (fault.at >= text.len() || fault.why == "unexpected EOF") {
        "invalid UTF-8"
    } else {
        &fault.why
    };
    told(line as u64, column as u64, why)
}

fn told(line: u64, column: u64, why: &str) -> DecodeError {
    // The original distinguishes misplaced tokens from values of a wrong type.
    let kind = if why.starts_with("unexpected token") {
        "syntax error "
    } else {
        ""
    };
    DecodeError(format!("proto: {kind}(line {line}:{column}): {why}"))
}

#[cfg(test)]
mod limits;
#[cfg(test)]
mod tests;
