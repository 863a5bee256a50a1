//! `maestro start`: the orchestrator itself.

use crate::cli::{Module, StartArgs};
use crate::serve::{Addresses, serve};
use crate::settings::{self, Settings};
use crate::{logging, settings::Listen};
use anyhow::{Context, bail};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// The file that is read when none is named, and that need not exist (D24).
const DEFAULT_FILE: &str = "config/config.yaml";

/// Runs the chosen module until it is asked to end.
///
/// # Errors
/// When it cannot start; the text says what to do.
pub fn run(args: &StartArgs) -> anyhow::Result<()> {
    logging::init(args.log_config);
    let settings = read_settings(args)?;
    if args.module != Module::All {
        bail!(
            "the module {} alone needs a store that several processes share (Postgres and Redis), which this build \
             does not have; `maestro start all` runs everything in one process",
            args.module
        );
    }
    if !settings.cluster_keys.is_empty() {
        bail!(
            "set for a cluster, which this build cannot use: {}; remove these settings to run with the embedded store \
             and local processes",
            settings.cluster_keys.join(", ")
        );
    }
    info!(store = "embedded", runtime = %settings.runtime, data_dir = %settings.data_dir.display(), "nothing is set for a cluster");
    for (what, listen) in [
        ("api", &settings.api),
        ("roomsApi", &settings.rooms_api),
        ("internalApi", &settings.internal_api),
    ] {
        warn_if_open(what, listen);
    }
    serve(&settings, wait_for_signal)
}

fn read_settings(args: &StartArgs) -> anyhow::Result<Settings> {
    let default = Path::new(DEFAULT_FILE);
    let file = match &args.config_path {
        Some(path) => Some(path.as_path()),
        None => default.exists().then_some(default),
    };
    let (mut settings, warnings) = settings::load(
        file,
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )?;
    for warning in warnings {
        warn!("{warning}");
    }
    if let Some(folder) = &args.data_dir {
        settings.data_dir.clone_from(folder);
    }
    Ok(settings)
}

/// Who reaches the management API can start commands on this machine.
fn warn_if_open(what: &str, listen: &Listen) {
    if !listen.is_loopback() {
        warn!(
            "{what} listens on {}: whoever reaches it can start commands on this machine; put something that \
             authenticates in front of it",
            listen.host
        );
    }
}

async fn wait_for_signal(addresses: Addresses) -> anyhow::Result<()> {
    info!(
        management = %addresses.management,
        rooms = %addresses.rooms,
        internal = %addresses.internal,
        "ready"
    );
    let mut term = signal(SignalKind::terminate()).context("cannot listen for TERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for INT")?;
    let name = tokio::select! {
        _ = term.recv() => "TERM",
        _ = int.recv() => "INT",
    };
    info!(signal = name, "shutting down: no new work, rooms stay");
    Ok(())
}
