//! The control plane and the kubelet of tests are what they say, and leave nothing behind.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod control_plane;
mod ends;
mod faults;
mod kubelet;
mod support;
