//! Failures as gRPC carries them.

use maestro_api::{OwnerHint, Status};
use tonic::metadata::MetadataValue;

/// Trailer that tells a client not to retry although the code is a transient one (gRFC A6, "pushback": a negative
/// number).
pub const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Trailer that says where the owner of the scheduler is instead; empty if it has none.
pub const OWNER: &str = "maestro-owner";

/// Trailer that names the operation that a call ordered, and that goes on or failed.
pub const OPERATION: &str = "maestro-operation";

/// Maximum length of a status message in bytes. The message travels as a header, with up to three bytes per byte of
/// text, and clients limit header size (usually 8 KiB): a longer message would reach them as a different failure. HTTP
/// bodies carry it in full.
const MESSAGE_TEXT_MAX: usize = 2 << 10;

/// The gRPC status with the code and message that HTTP answers.
pub fn status(status: Status) -> tonic::Status {
    let code = tonic::Code::from_i32(i32::from(status.code.number()));
    let mut message = status.message;
    if message.len() > MESSAGE_TEXT_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_TEXT_MAX));
        message.push_str(" (cut)");
    }
    let mut told = tonic::Status::new(code, message);
    if status.lasts {
        let never = MetadataValue::from_static("-1");
        told.metadata_mut().insert(PUSHBACK, never);
    }
    if let Some(Ok(operation)) = status.operation.map(|id| id.parse()) {
        told.metadata_mut().insert(OPERATION, operation);
    }
    let owner = status.owner.map(|owner| match owner {
        OwnerHint::At(address) => address,
        OwnerHint::Nobody => String::new(),
    });
    // An address that no header can carry is no address: then there is no hint.
    if let Some(Ok(owner)) = owner.map(|owner| owner.parse()) {
        told.metadata_mut().insert(OWNER, owner);
    }
    told
}
