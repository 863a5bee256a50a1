//! gRPC: a server and a client for the calls of `maestro_api`, as the services of `api.v1` (contract 16, decision D13)
//! and `maestro.v1`, and those of the K8s manager; and the client of matchmakers' forwarders.
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
mod identity;
mod manager;
mod peers;
mod pings;
mod rpc;
#[cfg(test)]
mod script;
mod server;
mod services;
mod status;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod watches;

pub use client::{GrpcClient, Unreachable};
pub use codec::WireCodec;
pub use connections::Bounds;
pub use forwarder::{ForwarderMetrics, GrpcForwarders, KeepAlive};
pub use identity::NodeSecret;
pub use peers::GrpcPeers;
pub use server::{GrpcControl, GrpcServer};
pub use services::{ActorsShownTo, Audience};
pub use tls::{NodeTls, TlsError, TlsFiles};

/// The compiled descriptors of package `api.v1`: a `google.protobuf.FileDescriptorSet`.
pub const API_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.v1.bin"));
/// The compiled descriptors of the public services of package `maestro.v1`.
pub const PUBLIC_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/maestro.v1.bin"));
/// The compiled descriptors of the services of `maestro.v1` that only nodes can call, with their imports.
pub const CONTROL_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));
/// The compiled descriptors of package `resourcemetrics`.
pub const RESOURCES_DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/resourcemetrics.bin"));
/// The compiled descriptors of package `runtime`.
pub const RUNTIME_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.bin"));
/// The compiled descriptors of package `version`.
pub const VERSION_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/version.bin"));
