//! `maestro start`: the orchestrator itself, or one module of it.

use crate::listen::Addresses;
use crate::logging::{self, LogConfig};
use crate::serve::{ended_by_signal, serve};
use crate::settings::{self, Collector, Listen, Loaded, Settings, SettingsErrors, StoreKind};
use crate::standby;
use crate::traces::Traces;
use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use tracing::{info, warn};

/// The options of `maestro start`.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// What to start
    #[arg(value_enum, default_value_t = Module::All)]
    pub module: Module,
    /// How to log: JSON at info level, or text at debug level [default: at info level, text on a terminal, else JSON]
    #[arg(short, long, value_enum)]
    pub log_config: Option<LogConfig>,
    /// Settings file; none is needed
    #[arg(short, long, value_name = "FILE")]
    pub config_path: Option<PathBuf>,
    /// Folder of the embedded store and of the rooms [default: ./maestro-data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

/// The modules of the contract, and `all` of them in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Module {
    All,
    ManagementApi,
    RoomsApi,
    Worker,
    RuntimeWatcher,
    MetricsReporter,
}

impl std::fmt::Display for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::ManagementApi => "management-api",
            Self::RoomsApi => "rooms-api",
            Self::Worker => "worker",
            Self::RuntimeWatcher => "runtime-watcher",
            Self::MetricsReporter => "metrics-reporter",
        })
    }
}

/// Runs the chosen module until it is told to end.
///
/// # Errors
/// If it cannot start; the text says what to do.
pub fn run(args: &StartArgs) -> anyhow::Result<()> {
    let (settings, traces) = prepare(args)?;
    let ended = run_module(args, &settings);
    if let Some(traces) = traces {
        traces.close();
    }
    ended
}

fn run_module(args: &StartArgs, settings: &Settings) -> anyhow::Result<()> {
    match args.module {
        Module::All => {}
        Module::RuntimeWatcher => {
            warn_if_open("internalApi", &settings.internal_api);
            return standby::run(settings);
        }
        module => bail!("{}", alone(module, settings.store)),
    }
    info!(store = %settings.store, runtime = %settings.runtime_in_use(), data_dir = %settings.data_dir.display(), "store and runtime chosen");
    for (what, listen) in [
        ("api", &settings.api),
        ("roomsApi", &settings.rooms_api),
        ("internalApi", &settings.internal_api),
        ("grpc", &settings.grpc),
    ] {
        warn_if_open(what, listen);
    }
    serve(settings, wait_for_signal)
}

/// Why a module cannot run alone here.
fn alone(module: Module, store: StoreKind) -> String {
    let instead = match module {
        Module::MetricsReporter => {
            "it reports its schedulers itself, on /metrics of its internal server (internalApi.port)"
        }
        Module::RoomsApi => "it serves the rooms API on roomsApi.port",
        Module::ManagementApi => "it serves the management API on api.port",
        _ => "it works the operations of all schedulers",
    };
    match store {
        StoreKind::Postgres => format!(
            "this build runs all modules in one process, of which several may share Postgres and Redis. Instead of \
             the module {module} run `maestro start all` on every node; {instead}"
        ),
        _ => format!(
            "the module {module} alone needs a store that several processes share (Postgres and Redis): the embedded \
             store belongs to one process. Run `maestro start all`; {instead}"
        ),
    }
}

/// The settings in force, with their warnings logged, and the trace exporter. The settings decide about spans, so the
/// log begins after they are read.
fn prepare(args: &StartArgs) -> anyhow::Result<(Settings, Option<Traces>)> {
    let loaded = load(args.config_path.as_deref(), args.data_dir.as_deref());
    let collector = match &loaded {
        Ok(loaded) => loaded.settings.traces.collector(),
        Err(_) => None,
    };
    let opened = collector
        .as_ref()
        .map(|to| Traces::open(to, &args.module.to_string()));
    let (traces, spans) = match opened.transpose() {
        Ok(opened) => opened.unzip(),
        Err(error) => {
            logging::init(args.log_config, None);
            return Err(error);
        }
    };
    logging::init(args.log_config, spans);
    let settings = checked(loaded)?;
    if let Some(collector) = collector {
        tell_of(&collector);
    }
    Ok((settings, traces))
}

fn load(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Loaded, SettingsErrors> {
    settings::load_here(file, in_folder(data_dir).as_slice())
}

/// `--data-dir` as the setting that it is.
pub fn in_folder(data_dir: Option<&Path>) -> Option<(&'static str, &'static str, String)> {
    let folder = data_dir.map(|folder| folder.display().to_string());
    folder.map(|folder| ("store.dataDir", "--data-dir", folder))
}

fn checked(loaded: Result<Loaded, SettingsErrors>) -> anyhow::Result<Settings> {
    usable(told(loaded)?)
}

/// The settings, with their warnings logged.
///
/// # Errors
/// All errors in them.
pub fn told(loaded: Result<Loaded, SettingsErrors>) -> anyhow::Result<Loaded> {
    let loaded = loaded.inspect_err(|e| warn_all(&e.warnings))?;
    if let Some(file) = &loaded.file {
        info!(config_path = %file.display(), "settings were read");
    }
    warn_all(&loaded.warnings);
    Ok(loaded)
}

/// # Errors
/// What they ask for and this build does not have.
pub fn usable(mut loaded: Loaded) -> anyhow::Result<Settings> {
    settings::check_adapters(&loaded).map_err(|why| anyhow!(why))?;
    loaded.settings.store = settings::store_in_use(&loaded);
    if loaded.settings.store == StoreKind::Embedded {
        // The cluster store has a secret of its own.
        loaded.settings.nodes.check().map_err(|why| anyhow!(why))?;
    }
    // From here on it is an absolute path. Without a working directory it stays as written.
    let folder = std::path::absolute(&loaded.settings.data_dir);
    loaded.settings.data_dir = folder.unwrap_or(loaded.settings.data_dir);
    Ok(loaded.settings)
}

fn tell_of(collector: &Collector) {
    let Collector {
        endpoint, sampler, ..
    } = collector;
    if collector.from_jaeger {
        warn!(
            "api.tracing.jaeger is on: traces go to {endpoint} by OTLP, not to a Jaeger agent; write \
             tracing.otlp.endpoint: {endpoint} instead"
        );
    }
    info!(%endpoint, sampler, "traces are sent");
}

fn warn_all(warnings: &[String]) {
    for warning in warnings {
        warn!("{warning}");
    }
}

/// Warns about a public address: anyone who can reach the management API can run commands on this machine.
fn warn_if_open(what: &str, listen: &Listen) {
    if !listen.is_loopback() {
        warn!(
            "{what} listens on {}: anyone who can reach it can run commands on this machine; put something that \
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
        grpc = %addresses.grpc,
        "ready"
    );
    ended_by_signal().await
}
