//! `maestro start operator`: looks after one runtime on Kubernetes, from within its namespace. It opens no store, owns
//! no scheduler and serves no API but its health.

use crate::listen;
use crate::settings::Settings;
use crate::signals::ended_by_signal;
use anyhow::Context;
use maestro_http::{ConnectionTimeouts, RefusedRequests, ServerSettings, server};
use maestro_runtime::kubernetes::{Access, KubernetesSettings, Operator};
use prometheus::Registry;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Names the namespace, as operators are told.
const NAMESPACE: &str = "WATCH_NAMESPACE";
/// How long a look that is under way may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Runs until it is told to end.
///
/// # Errors
/// If it cannot start; the text says what to do.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    actix_rt::System::new().block_on(serve(settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let namespace = std::env::var(NAMESPACE)
        .ok()
        .filter(|name| !name.is_empty());
    let namespace = namespace.with_context(|| {
        format!("{NAMESPACE} is not set: an operator is told the namespace of its runtime by it")
    })?;
    let access = match settings.kubernetes.in_cluster {
        false if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            KubernetesSettings::new(Access::in_cluster()?)
        }
        _ => settings.for_kubernetes()?,
    };
    let operator = Operator::open(&access, &namespace).await?;
    let ready = operator.is_ready();
    let listener = listen::listen("internalApi", &settings.internal_api).await?;
    let address = listen::url_of(&listener)?;
    let how = ServerSettings {
        connections_max: 64,
        listener,
        workers: 1,
        shutdown_timeout: settings.internal_shutdown,
        timeouts: ConnectionTimeouts::default(),
        trusted: settings.trusted.clone(),
        refused: RefusedRequests::register(&Registry::new())?,
    };
    let health = server::watched(how, ready)?;
    let (handle, serving) = (health.handle(), actix_rt::spawn(health));
    let stop = CancellationToken::new();
    let working = tokio::spawn(operator.run(stop.clone()));
    info!(namespace, internal = %address, "looking after the runtime");
    let ended = ended_by_signal().await;
    stop.cancel();
    if tokio::time::timeout(ENDS_WITHIN, working).await.is_err() {
        warn!("a look at the runtime did not end in time");
    }
    handle.stop(true).await;
    serving
        .await
        .context("the health server was interrupted")??;
    ended
}
