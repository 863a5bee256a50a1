//! The Redis half of the cluster store: rooms, operations, and the order of their writes (contract 8.2).

mod asking;
mod changes;
mod client;
mod command;
mod connect;
mod error;
mod feed;
mod fence;
mod figures;
mod keys;
mod load;
#[cfg(test)]
mod mapping_tests;
mod oddity;
mod operation;
mod pod_map;
mod preflight;
mod queues;
mod reads;
mod room;
mod script;
mod survey;
mod urls;
mod watchdog;
mod writes;
mod written;

pub use client::ConnectError;
pub use connect::RedisSettings;
pub(crate) use error::is_of_one_scheduler;
pub use feed::RedisFeed;
pub(crate) use fence::parse as parse_fence;
pub use figures::FleetFigures;
pub use load::Stored;
pub use oddity::Oddity;
pub use operation::Unreadable;
pub use preflight::{Concern, PreflightError};
pub use room::Ghost;
pub use survey::{Found, Survey};
pub use urls::{RedisUrl, UrlError, one_place};
pub use writes::Writer;

use crate::names::Names;
use connect::Connections;
use maestro_core::domain::SchedulerName;
use queues::Watched;
use script::Script;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Handle;
use urls::Place;
use written::Memory;

/// The open store.
pub struct RedisStore {
    connections: Connections,
    /// The connections have been ended: the library warns of a second time.
    is_closed: AtomicBool,
    place: Place,
    concerns: Vec<Concern>,
    operations_ttl: Option<Duration>,
    memory: Memory,
    watched: Watched,
    names: Arc<Names>,
    commit: Script,
    raise: Script,
    forget: Script,
    counts: Script,
    waiting: Script,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.place)
    }
}

impl RedisStore {
    /// Connects, and looks at the server before anything is written. What an operator should know about it is logged as
    /// warnings.
    ///
    /// # Errors
    /// If the settings name no server that can be used now; the message says what to do.
    pub async fn connect(settings: &RedisSettings) -> Result<Self, ConnectError> {
        let (connections, place, concerns) = connect::connect(settings).await?;
        Ok(Self {
            connections,
            is_closed: AtomicBool::new(false),
            place,
            concerns,
            operations_ttl: settings.operations_ttl,
            memory: Memory::default(),
            watched: Watched::default(),
            names: Arc::default(),
            commit: Script::new(include_str!("scripts/commit.lua")),
            raise: Script::new(include_str!("scripts/raise.lua")),
            forget: Script::new(include_str!("scripts/forget.lua")),
            counts: Script::new(include_str!("scripts/counts.lua")),
            waiting: Script::new(include_str!("scripts/waiting.lua")),
        })
    }

    /// What an operator should know about the server.
    pub fn concerns(&self) -> &[Concern] {
        &self.concerns
    }

    /// The connection that writes at the moment.
    pub fn writer(&self) -> Writer {
        self.connections.writes.current()
    }

    /// Forgets what is kept in memory of schedulers that this process does not own any more.
    pub fn forget(&self, schedulers: &[SchedulerName]) {
        self.memory.forget(schedulers);
        let mut watched = self.watched.lock();
        for name in schedulers {
            watched.remove(name);
        }
    }

    /// Ends the connections.
    pub async fn close(&self) {
        if !self.is_closed.swap(true, Relaxed) {
            self.connections.clone().close().await;
        }
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        if self.is_closed.swap(true, Relaxed) {
            return;
        }
        // The client's own tasks would keep the connections open. Without a runtime they have ended already.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.connections.clone().close());
        }
    }
}
