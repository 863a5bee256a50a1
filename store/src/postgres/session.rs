//! A connection of its own, for what outlives a statement: locks of a session, and notifications. It does not work
//! behind PgBouncer in transaction mode.

use super::connect::Database;
use super::error::DatabaseError;
use std::future::poll_fn;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Notification};
use tracing::debug;

/// Notifications that wait to be read. One more ends the session: its user reads the tables anew then.
const WAITING_MAX: usize = 10_000;

/// An open session; it ends when it is dropped.
pub struct Session {
    client: Client,
    notifications: Receiver<Notification>,
    connection: JoinHandle<()>,
}

impl Database {
    /// # Errors
    /// If the server cannot be reached, or refuses.
    pub async fn session(&self) -> Result<Session, DatabaseError> {
        let connected = self.config().connect(self.tls()).await;
        let (client, mut connection) = connected.map_err(|error| self.explain(&error))?;
        let (told, notifications) = mpsc::channel(WAITING_MAX);
        let connection = tokio::spawn(async move {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notification(notification)) => {
                        if told.try_send(notification).is_err() {
                            break;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        debug!(%error, "a session of Postgres ended");
                        break;
                    }
                }
            }
        });
        Ok(Session {
            client,
            notifications,
            connection,
        })
    }
}

impl Session {
    /// For statements. They have no limit of time.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The next notification, or `None` if the session has ended.
    pub async fn notification(&mut self) -> Option<Notification> {
        self.notifications.recv().await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
