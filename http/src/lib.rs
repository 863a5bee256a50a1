//! The HTTP APIs of Maestro, and the internal server beside them.
//!
//! Handlers parse, route and serialise. They talk to the actors through their handles, never to a store or a runtime.

pub mod backup;
pub mod codec;
mod connection;
pub mod convert;
mod crowd;
mod error;
pub mod gateway;
pub mod guard;
pub mod internal;
mod late;
pub mod management;
pub mod metrics;
mod named;
pub mod openapi;
pub mod operator;
mod readiness;
pub mod rooms;
mod seldom;
pub mod server;
mod standby;
pub mod trace;

pub use backup::{Backup, BackupDone, BackupError};
pub use connection::Patience;
pub use guard::{RefusedRequests, Trusted, TrustedHost, TrustedOrigin};
pub use internal::{InternalParts, MetricsPage, configure_debug, configure_internal};
pub use management::ManagementService;
pub use metrics::HttpMetrics;
pub use rooms::RoomsService;
pub use seldom::Seldom;
pub use server::ServerSettings;
