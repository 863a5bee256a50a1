//! What all nodes share besides schedulers, and how the database sees this node.

use super::{Database, DatabaseError, Param};
use tokio_postgres::types::Type;

const PUT: &str =
    "INSERT INTO maestro_setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
const GET: &str = "SELECT value FROM maestro_setting WHERE key = $1";
/// There is none for a connection through a socket of the file system.
const SEEN: &str = "SELECT coalesce(host(inet_client_addr()), '127.0.0.1')";

/// The value of a setting that all nodes share: the one that was proposed first.
///
/// # Errors
/// If the database fails.
pub async fn agreed(
    database: &Database,
    key: &str,
    proposed: &str,
) -> Result<String, DatabaseError> {
    let both: [Param<'_>; 2] = [(&key, Type::TEXT), (&proposed, Type::TEXT)];
    database.change(PUT, &both).await?;
    let rows = database.query(GET, &both[..1]).await?;
    Ok(rows.first().map_or_else(String::new, |row| row.get(0)))
}

/// The address from which this process reaches the database.
///
/// # Errors
/// If the database fails.
pub async fn own_address(database: &Database) -> Result<String, DatabaseError> {
    let rows = database.query(SEEN, &[]).await?;
    Ok(rows.first().map_or_else(String::new, |row| row.get(0)))
}
