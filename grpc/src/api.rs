//! Packages `api.v1` (contract 16), `maestro.v1` (ours), `resourcemetrics`, `runtime` and `version`: generated services
//! and clients that use the messages of `maestro_api`.

#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    missing_docs,
    reason = "it is generated"
)]

tonic::include_proto!("api.v1");
tonic::include_proto!("maestro.v1");
tonic::include_proto!("resourcemetrics");
tonic::include_proto!("runtime");
tonic::include_proto!("version");
