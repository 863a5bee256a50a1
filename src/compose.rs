//! The only place that names a port and its adapter together: what a node is made of.
//!
//! Embedded and clustered mode differ here and nowhere else (invariant 10). This build has
//! one composition: one file as the store, local processes as the runtime.

use crate::backup;
use crate::clock::SystemClock;
use crate::settings::Settings;
use anyhow::Context;
use maestro_actors::NodeParts;
use maestro_http::Backup;
use maestro_runtime::process::{ProcessRuntime, ProcessSettings};
use maestro_store::embedded::EmbeddedStore;
use std::sync::Arc;

/// The adapters of a node, for the time after its actors.
pub struct Adapters {
    pub store: Arc<EmbeddedStore>,
    pub runtime: Arc<ProcessRuntime>,
}

impl Adapters {
    /// Opens everything. Has to run on the I/O runtime: clients live and die there.
    ///
    /// # Errors
    /// Says what to do about the data folder.
    pub async fn open(settings: &Settings, rooms_api_url: String) -> anyhow::Result<Self> {
        let folder = settings.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&folder));
        let store = opened
            .await
            .context("opening the store was interrupted")??;
        let mut process = ProcessSettings::new(&settings.data_dir, store.installation());
        process.rooms_api_url = rooms_api_url;
        process.host.clone_from(&settings.room_host);
        let opened = tokio::task::spawn_blocking(move || ProcessRuntime::open(process));
        let runtime = match opened
            .await
            .context("opening the runtime was interrupted")?
        {
            Ok(runtime) => runtime,
            Err(error) => {
                store.close().await;
                return Err(error.into());
            }
        };
        Ok(Self { store, runtime })
    }

    pub fn parts(&self, settings: &Settings, io: tokio::runtime::Handle) -> NodeParts {
        NodeParts::new(
            self.store.clone(),
            self.runtime.clone(),
            Arc::new(SystemClock::new()),
            settings.core.clone(),
            settings.actors,
            io,
        )
    }

    /// Copies the store on request.
    pub fn backup(&self, settings: &Settings, io: tokio::runtime::Handle) -> Backup {
        backup::of(self.store.clone(), settings.data_dir.clone(), io)
    }

    /// After the actors: rooms stay as they are, the file is flushed and its lock given back.
    pub async fn close(self) {
        self.runtime.shutdown().await;
        self.store.close().await;
    }
}
