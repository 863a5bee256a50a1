//! The only source of time and chance for everything outside `decide`.

use crate::domain::Now;

/// Time and entropy. One real implementation lives in the binary; tests have a fake
/// one that stands still until it is told to move.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Now;
    /// 128 fresh random bits, the entropy of one `decide`.
    fn entropy(&self) -> u128;
}
