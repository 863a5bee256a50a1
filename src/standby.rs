//! `maestro start runtime-watcher`: a healthy standby, so that manifests and probes of five modules
//! keep working. The process that owns a scheduler watches its rooms itself.

use crate::listen::{listen, url_of};
use crate::metrics;
use crate::serve::{UPKEEP_LEFT, ended_by_signal};
use crate::settings::Settings;
use anyhow::Context;
use maestro_http::{ConnectionTimeouts, RefusedRequests, ServerSettings, server};
use prometheus::Registry;
use tracing::{error, info};

/// Serves the internal API until it is told to end.
///
/// # Errors
/// Start errors.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("io")
        .enable_all()
        .build()
        .context("cannot start the I/O runtime")?;
    let result = actix_rt::System::new().block_on(async {
        let listener = listen("internalApi", &settings.internal_api).await?;
        let internal = url_of(&listener)?;
        let registry = Registry::new();
        let metrics = match settings.metrics_enabled {
            true => Some(metrics::page(registry.clone(), None)),
            false => None,
        };
        let how = ServerSettings {
            connections_max: 64,
            listener,
            workers: 1,
            shutdown_timeout: settings.internal_shutdown,
            timeouts: ConnectionTimeouts::default(),
            trusted: settings.trusted.clone(),
            refused: RefusedRequests::register(&registry)?,
        };
        let server = server::standby(how, metrics, settings.healthcheck_enabled)?;
        let handle = server.handle();
        let running = actix_rt::spawn(server);
        info!(%internal, "ready: standing by, rooms are watched by the process that owns them");
        let ended = io.spawn(ended_by_signal()).await;
        handle.stop(true).await;
        if let Ok(Err(error)) = running.await {
            error!(%error, "the server ended with an error");
        }
        ended.context("it was interrupted")?
    });
    io.shutdown_timeout(UPKEEP_LEFT);
    result
}
