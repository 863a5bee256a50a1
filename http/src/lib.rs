//! The HTTP APIs of Maestro.
