//! Package `eventforwarder`: the service that matchmakers implement to receive events of rooms and players (contract 6
//! and 16).
//!
//! [`grpc_forwarder_client::GrpcForwarderClient`] is what Maestro calls, [`grpc_forwarder_server::GrpcForwarder`] what
//! a forwarder implements.

#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    reason = "it is generated"
)]

tonic::include_proto!("eventforwarder");
