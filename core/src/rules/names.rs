//! Computed names: a repeated step yields the same name again (contract 4.5).

use crate::domain::{OperationId, RoomId, SchedulerName};
use uuid::Uuid;

const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Maximum length of the scheduler's part of the name (contract 4.5).
const PREFIX_CHARS_MAX: usize = 58;

/// The name of a room: scheduler, hyphen, and five characters derived from the operation that creates it, its index in
/// that operation, and the attempt. A resumed operation therefore finds the rooms that it created before.
///
/// The suffix has 27^5 (14 million) values, so two operations may produce the same name. The caller checks whether the
/// name is taken, and then increments `attempt`.
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
        // The remainder is less than the alphabet's length.
        name.push(char::from(SUFFIX_ALPHABET[(number % letters) as usize]));
        number /= letters;
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn operation(number: u128) -> OperationId {
        OperationId(Uuid::from_u128(number))
    }

    #[test]
    fn names_stay_the_same_over_releases() {
        let name = |index, attempt| room_id(&"arena".into(), operation(7), index, attempt);
        assert_eq!(name(0, 0).as_str(), "arena-znztk");
        assert_eq!(name(1, 0).as_str(), "arena-w58jq");
        assert_eq!(name(0, 1).as_str(), "arena-m6hv8");
    }

    #[test]
    fn a_long_scheduler_name_is_cut() {
        let long = "x".repeat(63);
        let name = room_id(&long.as_str().into(), operation(7), 0, 0);
        let (prefix, suffix) = name.as_str().split_at(59);
        assert_eq!(prefix, format!("{}-", "x".repeat(58)));
        assert_eq!(suffix.len(), 5);
        assert!(suffix.bytes().all(|c| SUFFIX_ALPHABET.contains(&c)));
    }

    #[test]
    fn rooms_of_an_operation_rarely_share_a_name() {
        let names: HashSet<_> = (0..1000)
            .map(|index| room_id(&"arena".into(), operation(7), index, 0))
            .collect();
        assert!(names.len() > 995, "{} different names", names.len());
    }
}
