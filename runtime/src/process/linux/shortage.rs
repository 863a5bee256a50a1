//! Errors that concern this machine and not the request: a process that could not be inspected for
//! lack of a descriptor is not gone.

use rustix::io::Errno;
use std::{io, time::Duration};

/// How long to wait before the next attempt.
pub const LOOK_AGAIN_FIRST: Duration = Duration::from_millis(100);
pub const LOOK_AGAIN_MAX: Duration = Duration::from_secs(2);

/// Descriptors that are not used to hold processes: half of a small limit, otherwise this many.
/// They are for inspecting, for starting rooms, and for everything else once rooms are adopted.
pub fn descriptors_spared(limit: u64) -> u64 {
    const SPARED_MAX: u64 = 200;
    (limit / 2).min(SPARED_MAX)
}

/// Whether the machine, or this process, is short of a resource for now.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::NOBUFS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_is_shared_and_of_a_large_one_most_is_for_rooms() {
        assert_eq!(descriptors_spared(128), 64);
        assert_eq!(descriptors_spared(1_024), 200);
        assert_eq!(descriptors_spared(u64::MAX), 200);
    }

    #[test]
    fn what_is_gone_is_no_shortage() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN] {
            assert!(is_shortage(&errno.into()));
        }
        for errno in [Errno::NOENT, Errno::SRCH, Errno::ACCESS, Errno::ADDRINUSE] {
            assert!(!is_shortage(&errno.into()));
        }
    }
}
