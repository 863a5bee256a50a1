//! The only source of time and randomness for everything outside of `decide`.

use crate::domain::Now;

/// Time and entropy. The binary has the real implementation; in tests a fake one stands still until it is advanced.
pub trait Clock: Send + Sync + 'static {
    /// The current time on both clocks. Does not block.
    fn now(&self) -> Now;
    /// 128 fresh random bits, the entropy of one `decide`.
    fn entropy(&self) -> u128;
}
