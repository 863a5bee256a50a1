//! When the write under way began: the thread that writes notes it, the one that looks for stalls reads it.

use parking_lot::Mutex;
use std::time::Instant;

/// When the write under way began.
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
