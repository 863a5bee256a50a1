//! Stories of one fleet, told to the pure state machine.

mod fleet;
mod lifecycle;
