//! When the current write began: set by the writing thread, read by the one that looks for stalls.

use parking_lot::Mutex;
use std::time::Instant;

/// When the current write began; `None` if there is none.
#[derive(Default)]
pub struct Writing(Mutex<Option<Instant>>);

impl Writing {
    pub fn begin(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    pub fn end(&self) {
        *self.0.lock() = None;
    }

    pub fn began(&self) -> Option<Instant> {
        *self.0.lock()
    }
}
