//! What the core asks of the world: one trait per file, beside the types it speaks.

mod cause;
mod clock;
mod forwarder;
mod ownership;
mod runtime;
mod store;

pub use cause::Cause;
pub use clock::Clock;
pub use forwarder::*;
pub use ownership::*;
pub use runtime::*;
pub use store::*;
