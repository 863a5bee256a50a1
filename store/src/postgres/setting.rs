//! What all nodes share besides schedulers, and from where this node reaches them.

use super::{Database, DatabaseError, Param};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use tokio::net::lookup_host;
use tokio_postgres::types::Type;
use uuid::Uuid;

const PUT: &str =
    "INSERT INTO maestro_setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
const SHARE: &str = "
INSERT INTO maestro_setting AS s (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value
WHERE s.value = excluded.value
    OR NOT EXISTS (SELECT FROM maestro_node WHERE expires_at > clock_timestamp() AND session <> $3)
RETURNING s.key";
const OTHERS: &str = "
SELECT name || ' (' || address || ')' FROM maestro_node
WHERE expires_at > clock_timestamp() AND session <> $1 ORDER BY 1";
const GET: &str = "SELECT value FROM maestro_setting WHERE key = $1";

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
    Ok(stored(database, key).await?.unwrap_or_default())
}

/// The value of such a setting, if any node has proposed one.
///
/// # Errors
/// If the database fails.
pub async fn stored(database: &Database, key: &str) -> Result<Option<String>, DatabaseError> {
    let asked: [Param<'_>; 1] = [(&key, Type::TEXT)];
    let rows = database.query(GET, &asked).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Sets a value that all living nodes must have in common. Returns the names of the nodes that live if they have
/// another one, otherwise nothing. A node asks once its own session, which does not count, has begun: of two that begin
/// at the same time, one is refused.
///
/// # Errors
/// If the database fails.
pub async fn in_common(
    database: &Database,
    key: &str,
    value: &str,
    session: &Uuid,
) -> Result<Vec<String>, DatabaseError> {
    let params: [Param<'_>; 3] = [
        (&key, Type::TEXT),
        (&value, Type::TEXT),
        (session, Type::UUID),
    ];
    if !database.change(SHARE, &params).await?.is_empty() {
        return Ok(Vec::new());
    }
    let others = database.query(OTHERS, &params[2..]).await?;
    Ok(others.iter().map(|row| row.get(0)).collect())
}

/// The address of this machine on the way to the database; the loopback address if the database is here. The address
/// that the server sees would be that of any proxy between them.
pub async fn own_address(database: &Database) -> IpAddr {
    for (host, port) in database.servers() {
        let Ok(found) = lookup_host((host.as_str(), port)).await else {
            continue;
        };
        for server in found {
            if let Some(own) = on_the_way_to(server) {
                return own;
            }
        }
    }
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

/// Sends nothing: connecting a datagram socket only chooses the way.
fn on_the_way_to(server: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::PostgresSettings;
    use std::time::Duration;

    async fn own(url: &str) -> IpAddr {
        let database = Database::open(&PostgresSettings {
            url: url.into(),
            pool_size: 1,
            statement_timeout: Duration::from_secs(1),
        });
        own_address(&database.unwrap()).await
    }

    #[tokio::test]
    async fn a_node_beside_its_database_is_at_the_loopback_address() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(own("postgres://m@127.0.0.1:1/m").await, local);
        assert_eq!(own("postgres://m@%2Frun%2Fpostgresql/m").await, local);
    }
}
