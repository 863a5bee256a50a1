//! gRPC: the calls of `maestro_api` served and called, as the `api.v1` services (contract 16, decision D13) and those
//! of
//! `maestro.v1` beside them; and the client of matchmakers' forwarders.
//!
//! The `.proto` files are in `proto/`; `build.rs` compiles them. Nothing here knows a store or a runtime.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

pub mod api;
mod call;
mod client;
mod code;
mod codec;
mod connections;
mod crowd;
pub mod events;
mod forwarder;
mod frames;
#[cfg(test)]
mod script;
mod server;
mod services;
#[cfg(feature = "testing")]
pub mod testing;

pub use client::GrpcClient;
pub use codec::WireCodec;
pub use connections::Bounds;
pub use forwarder::{ForwarderMetrics, GrpcForwarders, KeepAlive};
pub use server::{GrpcControl, GrpcServer};
pub use services::Audience;

/// The compiled descriptors of package `api.v1`: a `google.protobuf.FileDescriptorSet`.
pub const API_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.v1.bin"));
/// Those of package `maestro.v1`, as far as it is public.
pub const PUBLIC_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/maestro.v1.bin"));
/// Those of `maestro.v1` that only nodes hear of, with what they import.
pub const CONTROL_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));
