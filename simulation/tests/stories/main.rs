//! Stories of one fleet, told to the state machine in a simulated world.

mod contract;
mod forwarding;
mod lifecycle;
mod measured;
mod mended;
mod rollouts;
