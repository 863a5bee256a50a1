//! Names that are computed, so that a repeated step names the same thing (contract 4.5).

use crate::domain::{OperationId, RoomId, SchedulerName};
use uuid::Uuid;

const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// The scheduler's part of the name (contract 4.5).
const PREFIX_CHARS_MAX: usize = 58;

/// Name of a room: scheduler, hyphen, five characters that depend on the operation that
/// creates it, its index there and the attempt. A resumed operation therefore finds the
/// rooms it made before.
///
/// The suffix has 27^5 (14 million) values: two operations may come to the same name.
/// Who creates a room looks whether the name is taken, and then raises `attempt`.
///
/// The suffix is the SHA-1 of a UUID v5 in the operation's namespace over index and
/// attempt, big-endian. It must not change between releases.
pub fn room_id(
    scheduler: &SchedulerName,
    operation: OperationId,
    index: u32,
    attempt: u32,
) -> RoomId {
    let mut seed = [0; 8];
    seed[..4].copy_from_slice(&index.to_be_bytes());
    seed[4..].copy_from_slice(&attempt.to_be_bytes());
    let mut number = Uuid::new_v5(&operation.0, &seed).as_u128();
    let letters = SUFFIX_ALPHABET.len() as u128;
    let mut name: String = scheduler.as_str().chars().take(PREFIX_CHARS_MAX).collect();
    name.push('-');
    for _ in 0..SUFFIX_LENGTH {
        // Below the alphabet's length, hence within it.
        name.push(char::from(SUFFIX_ALPHABET[(number % letters) as usize]));
        number /= letters;
    }
    name.into()
}
