//! Data that other programs, evictions or crashes left behind: reported and passed over, never guessed.

use super::operation::Unreadable;
use super::room::Ghost;
use maestro_core::domain::{OperationId, RoomId};

/// Something under a scheduler's keys that is none of its rooms or operations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    #[error("{room} is no room: {reason}")]
    Room { room: RoomId, reason: Ghost },
    #[error("podMap has an instance of {room}, which is no room")]
    Instance { room: RoomId },
    #[error("{text:?} in {key} is no UUID; it is left there")]
    NoUuid { key: String, text: String },
    /// Shown with replacement characters, so that it cannot be named to Redis.
    #[error("{text:?} in {key} is no UTF-8")]
    NoText { key: String, text: String },
    #[error("operation {operation} is in a queue or a list, and cannot be read: {reason}")]
    Operation {
        operation: OperationId,
        reason: Unreadable,
    },
}

impl Oddity {
    /// The room whose remains may be deleted: they are those of no room, whoever reads them. What cannot be read is
    /// left for people to look at.
    pub fn remains(&self) -> Option<&RoomId> {
        match self {
            Self::Room {
                reason: Ghost::Unreadable { .. },
                ..
            } => None,
            Self::Room { room, .. } | Self::Instance { room } => Some(room),
            Self::NoUuid { .. } | Self::NoText { .. } | Self::Operation { .. } => None,
        }
    }
}

/// Whether this member of `key` is a text. What lies behind another one can neither be asked for nor deleted, so it is
/// reported.
pub fn is_text(key: &str, name: &str, odd: &mut Vec<Oddity>) -> bool {
    let is_text = !name.contains(char::REPLACEMENT_CHARACTER);
    if !is_text {
        let (key, text) = (key.to_owned(), name.to_owned());
        odd.push(Oddity::NoText { key, text });
    }
    is_text
}
