//! Package `api.v1` (contract 16): services and clients over the messages that the HTTP APIs speak.

#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    reason = "it is generated"
)]

tonic::include_proto!("api.v1");
