//! Stories of one fleet, and random lives of many, told to the pure state machine.

mod contract;
mod decisions;
mod ends;
mod fleet;
mod forwarding;
mod lifecycle;
mod matchmakers;
mod measured;
mod mended;
mod properties;
mod rollouts;
mod world;
