//! The ports of the core in memory, with faults on demand. Fakes never assert: they record
//! violations of their port's rules, and the test checks the record.

mod clock;
mod forwarders;
mod gate;
pub mod metrics;
mod platform;
mod runtime;
mod script;
mod store;

pub use clock::{ManualClock, TokioClock};
pub use forwarders::FakeForwarders;
pub use gate::Gate;
pub use metrics::FakeMetrics;
pub use platform::FakePlatform;
pub use runtime::{FakeRuntime, RuntimeCall, RuntimeFault, Termination};
pub use store::{FakeNode, FakeStore, StoreCall, StoreFault, member};

fn this_thread() -> String {
    std::thread::current().name().unwrap_or("?").to_owned()
}
