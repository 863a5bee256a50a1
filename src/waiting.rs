//! The start of a process of a cluster: it waits for its stores, which may start beside it, and says so.

use crate::cluster::{self, OpenCluster};
use crate::listen::{HttpListeners, Listeners, url_of};
use crate::settings::Settings;
use crate::signals::ended_by_signal;
use actix_web::dev::{Server, ServerHandle};
use anyhow::{Context, bail};
use maestro_http::{ConnectionTimeouts, RefusedRequests, ServerSettings, server};
use prometheus::Registry;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// How long the stores are waited for, and how often they are tried. Longer than a database takes to start, and short
/// enough that whoever started the process is still there to read why it ended.
const WAIT_MAX: Duration = Duration::from_secs(60);
const TRY_EVERY: Duration = Duration::from_millis(500);
/// The reason is repeated this often.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Opens the cluster store, and completes the settings with what all nodes share. While the stores cannot be reached,
/// the internal server answers that the process is alive and not ready, and the APIs refuse all calls with 503.
///
/// # Errors
/// At once if the settings or the stores have to be changed first; after [`WAIT_MAX`] if a store cannot be reached; if
/// the process is told to end.
pub async fn open_cluster(
    settings: Settings,
    listeners: &Listeners,
    hosts: bool,
    io: &tokio::runtime::Runtime,
) -> anyhow::Result<(OpenCluster, Settings)> {
    let nodes = listeners
        .nodes
        .as_ref()
        .context("cluster.listen is empty")?;
    let open = || {
        let (settings, nodes) = (settings.clone(), nodes.try_clone());
        let opening = io.spawn(async move { cluster::open(settings, &nodes?, hosts).await });
        async move { opening.await.context("opening was interrupted")? }
    };
    let first = open().await;
    let Err(why) = first else { return first };
    if !may_pass(&why) {
        return Err(why);
    }
    let HttpListeners {
        management,
        rooms,
        internal,
    } = &listeners.http;
    let [management_url, rooms_url] =
        [management, rooms].map(|listener| listener.as_ref().map(url_of).transpose());
    info!(
        management = management_url?,
        rooms = rooms_url?,
        internal = url_of(internal)?,
        "alive, but not ready"
    );
    let apis = [management, rooms].into_iter().flatten();
    let answering = Answering::start(&settings, internal, apis)?;
    let opened = tokio::select! {
        opened = retry(why, open) => opened,
        ended = ended_by_signal() => {
            ended?;
            bail!("it was told to end while it waited for its stores")
        }
    };
    answering.stop().await;
    opened
}

async fn retry<T, F: Future<Output = anyhow::Result<T>>>(
    mut why: anyhow::Error,
    open: impl Fn() -> F,
) -> anyhow::Result<T> {
    let started = Instant::now();
    let mut said: Option<Instant> = None;
    while started.elapsed() < WAIT_MAX {
        if said.is_none_or(|said| said.elapsed() > SAY_EVERY) {
            let left = WAIT_MAX.saturating_sub(started.elapsed()).as_secs();
            warn!("waiting for the stores, for {left} s at most: {why:#}");
            said = Some(Instant::now());
        }
        tokio::time::sleep(TRY_EVERY).await;
        match open().await {
            Err(error) if may_pass(&error) => why = error,
            Err(error) => return Err(error),
            Ok(opened) => {
                info!("the stores can be used");
                return Ok(opened);
            }
        }
    }
    Err(why.context(format!("gave up after {} s", WAIT_MAX.as_secs())))
}

/// Whether nobody needs to do anything here: the store is starting, or out of reach.
fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let database = cause.downcast_ref::<maestro_store::postgres::DatabaseError>();
        let redis = cause.downcast_ref::<maestro_store::redis::ConnectError>();
        database.is_some_and(|error| error.may_pass())
            || redis.is_some_and(|error| error.may_pass())
    })
}

/// The health pages of a process that waits, and the refusals of its APIs.
struct Answering(Vec<(ServerHandle, JoinHandle<std::io::Result<()>>)>);

impl Answering {
    fn start<'a>(
        settings: &Settings,
        internal: &TcpListener,
        apis: impl Iterator<Item = &'a TcpListener>,
    ) -> anyhow::Result<Self> {
        let how = |listener: &TcpListener| -> anyhow::Result<ServerSettings> {
            Ok(ServerSettings {
                connections_max: 64,
                listener: listener.try_clone()?,
                workers: 1,
                shutdown_timeout: settings.internal_shutdown,
                timeouts: ConnectionTimeouts::default(),
                trusted: settings.trusted.clone(),
                refused: RefusedRequests::register(&Registry::new())?,
            })
        };
        let health = server::waiting(how(internal)?, settings.healthcheck_enabled)?;
        let mut servers = vec![health];
        for api in apis {
            servers.push(server::refusing(how(api)?)?);
        }
        let run = |server: Server| (server.handle(), actix_rt::spawn(server));
        Ok(Self(servers.into_iter().map(run).collect()))
    }

    async fn stop(self) {
        for (handle, running) in self.0 {
            handle.stop(true).await;
            if let Ok(Err(error)) = running.await {
                warn!(%error, "a server ended with an error");
            }
        }
    }
}
