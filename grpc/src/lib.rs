//! gRPC: the `api.v1` services over the implementations that HTTP calls (contract 16, decision D13), and the client
//! of matchmakers' forwarders.
//!
//! The `.proto` files are in `proto/`; `build.rs` compiles them. Nothing here knows a store or a runtime.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

pub mod api;
mod call;
mod code;
mod codec;
mod connections;
pub mod events;
mod forwarder;
mod frames;
#[cfg(test)]
mod script;
mod server;
mod services;
#[cfg(feature = "testing")]
pub mod testing;

pub use codec::WireCodec;
pub use connections::Bounds;
pub use forwarder::{ForwarderMetrics, GrpcForwarders, KeepAlive};
pub use server::{GrpcControl, GrpcServer};

/// The compiled descriptors of package `api.v1`: a `google.protobuf.FileDescriptorSet`.
pub const API_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.v1.bin"));
