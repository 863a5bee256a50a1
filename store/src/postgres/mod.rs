//! The Postgres half of the cluster store: schedulers and their versions, in the original's tables (contract 8.1).

mod connect;
pub mod document;
mod error;
mod migrations;
pub mod outbox;
mod ownership;
pub mod reads;
pub mod rows;
mod session;
pub mod setting;
mod tls;
mod url;

pub use connect::{Database, OpenError, Param, PostgresSettings, Transaction};
pub use error::{DatabaseError, Outcome};
pub use migrations::{MigrateError, Migrated, migrate};
pub use ownership::PostgresOwnership;
pub(crate) use ownership::{count_of, current_epoch, forget, owned_by, unknown, unneeded};
pub use session::Session;
pub use tls::TlsError;
pub use url::{Place, UrlError, check_url};
