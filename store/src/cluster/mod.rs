//! The cluster store: Postgres and Redis together, for several nodes (architecture 5).

pub mod outbox;
