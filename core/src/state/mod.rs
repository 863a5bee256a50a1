//! The state machine of one scheduler.
