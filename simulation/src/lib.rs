//! One scheduler in a simulated world, in one thread and on its own clock: everything around the
//! state machine is a plain model, so every story runs the same each time.
//!
//! [`World`] is that world. Nothing in it happens by itself: writes arrive when they are committed
//! ([`World::commit`]), calls on the runtime are begun and finished, fail, hang or come late
//! ([`World::work`], [`World::begin`], [`World::finish`]), events wait until they are delivered
//! ([`World::event`]), and time passes on request. After every decision its invariants are checked.
//! [`Fleet`] is a world that carries everything out promptly, for stories about what happens and
//! not about when; it can hold back calls and events where that matters.
//!
//! [`cluster`] has several nodes with several schedulers on one store.
//!
//! The stories are in `tests/`. Tests of the rules, which need no world, stay in `core`.

mod batch;
mod callers;
mod calls;
pub mod cluster;
pub mod documents;
mod fleet;
mod invariants;
mod lease;
mod looks;
mod machine;
mod repair;
mod rest;
pub mod steps;
mod stored;
mod watch;
mod world;
mod writes;

pub use calls::Outcome;
pub use documents::spec;
pub use fleet::Fleet;
pub use machine::{Machine, Termination};
pub use stored::{StoreFault, Stored};
pub use world::World;
