//! Domain types, rules, the pure state machine and the ports of Maestro.
