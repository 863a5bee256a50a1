//! gRPC: the stubs of a matchmaker's forwarder, and what clients of Maestro speak.
//!
//! The `.proto` files are in `proto/`; `build.rs` compiles them. Nothing here knows a store or a runtime.

pub mod events;

/// The compiled descriptors of package `api.v1`: a `google.protobuf.FileDescriptorSet`.
pub const API_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.v1.bin"));
