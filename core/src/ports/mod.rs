//! What the core needs from its environment: one trait per file, together with the types it uses.

mod cause;
mod clock;
mod forwarder;
mod metrics;
mod ownership;
mod platform;
mod runtime;
mod store;

pub use cause::Cause;
pub use clock::Clock;
pub use forwarder::*;
pub use metrics::*;
pub use ownership::*;
pub use platform::*;
pub use runtime::*;
pub use store::*;
