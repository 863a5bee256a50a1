//! The actors that own the schedulers.
