//! The HTTP servers: the two APIs, and the internal server.
//!
//! Handlers parse, route and serialize; the work itself is done by the traits of `maestro_api`.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod access;
mod conflict;
mod connection;
mod crowd;
mod endpoint;
mod events;
pub mod gateway;
pub mod guard;
pub mod internal;
pub mod metrics;
mod named;
pub mod openapi;
pub mod operator;
mod progress;
mod request_scope;
pub mod resources;
pub mod runtimes;
pub mod server;
pub mod versions;
mod wait;
mod waiting;

pub use connection::ConnectionTimeouts;
pub use guard::{RefusedRequests, Trusted, TrustedHost, TrustedOrigin};
pub use internal::{InternalParts, MetricsPage, configure_debug, configure_internal};
pub use metrics::HttpMetrics;
pub use server::{ManagementParts, ServerSettings};
