//! `maestro start`: the orchestrator itself, or one module of it.

use crate::listen::Addresses;
use crate::logging::{self, LogConfig};
use crate::module::{Duties, Module};
use crate::operator;
use crate::serve::serve;
use crate::settings::{
    self, Collector, Listen, Loaded, RuntimeKind, Settings, SettingsErrors, StoreKind,
};
use crate::signals::ended_by_signal;
use crate::traces::Traces;
use anyhow::anyhow;
use clap::Args;
use maestro_store::postgres::check_url;
use maestro_store::redis::one_place;
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

/// Runs the chosen module until it is told to end.
///
/// # Errors
/// If it cannot start; the text says what to do.
pub fn run(args: &StartArgs) -> anyhow::Result<()> {
    let (settings, duties, traces) = prepare(args)?;
    let ended = match args.module {
        Module::Operator => operator::run(&settings),
        _ => run_module(&settings, &duties),
    };
    if let Some(traces) = traces {
        traces.close();
    }
    ended
}

fn run_module(settings: &Settings, duties: &Duties) -> anyhow::Result<()> {
    let module = duties.module;
    let runtime = module.hosts().then_some(settings.runtime);
    info!(
        %module,
        store = %settings.store,
        runtime = runtime.map(display),
        data_dir = module.hosts().then(|| display(settings.data_dir.display())),
        "store and runtime chosen"
    );
    for (what, listen) in duties.public() {
        warn_if_open(what, listen);
    }
    warn_if_open("the internal server", &settings.internal_api);
    serve(settings, duties, wait_for_signal)
}

/// The settings in force, with their warnings logged, and the trace exporter. The settings decide about spans, so the
/// log begins after they are read.
fn prepare(args: &StartArgs) -> anyhow::Result<(Settings, Duties, Option<Traces>)> {
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
    let (settings, duties) = checked(loaded, args.module)?;
    if let Some(collector) = collector {
        tell_of(&collector);
    }
    Ok((settings, duties, traces))
}

fn load(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Loaded, SettingsErrors> {
    settings::load_here(file, in_folder(data_dir).as_slice())
}

/// `--data-dir` as the setting that it is.
pub fn in_folder(data_dir: Option<&Path>) -> Option<(&'static str, &'static str, String)> {
    let folder = data_dir.map(|folder| folder.display().to_string());
    folder.map(|folder| ("store.dataDir", "--data-dir", folder))
}

fn checked(
    loaded: Result<Loaded, SettingsErrors>,
    module: Module,
) -> anyhow::Result<(Settings, Duties)> {
    let mut loaded = told(loaded)?;
    complete(&mut loaded)?;
    if module.hosts() && loaded.settings.runtime == RuntimeKind::Kubernetes {
        // Before anything is opened.
        loaded.settings.for_kubernetes()?;
    }
    // The module metrics-reporter does it for workers.
    loaded.settings.actors.reports_fleets = module == Module::All;
    if module == Module::Operator {
        // It has neither a store nor APIs.
        let duties = Duties::none(module);
        return Ok((loaded.settings, duties));
    }
    let duties = Duties::of(module, &loaded).map_err(|why| anyhow!(why))?;
    Ok((loaded.settings, duties))
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

/// The settings, with what depends on several of them: what every command that uses them begins with, and what
/// `check-config` checks.
///
/// # Errors
/// What contradicts itself in them.
pub fn complete(loaded: &mut Loaded) -> anyhow::Result<()> {
    loaded.settings.runtime = settings::runtime_in_use(loaded);
    loaded.settings.store = settings::store_in_use(loaded);
    let mut redis = loaded.settings.redis.clone();
    redis.complete(|key| loaded.is_set_by_hand(key));
    loaded.settings.redis = redis;
    loaded.settings.resolve_hosts();
    check(&loaded.settings)?;
    // From here on it is an absolute path. Without a working directory it stays as written.
    let folder = std::path::absolute(&loaded.settings.data_dir);
    if let Ok(folder) = folder {
        loaded.settings.data_dir = folder;
    }
    Ok(())
}

/// What the settings say of each other, before anything is opened.
fn check(settings: &Settings) -> anyhow::Result<()> {
    if settings.store == StoreKind::Embedded {
        return settings.nodes.check().map_err(|why| anyhow!(why));
    }
    // The cluster store has a secret of its own.
    settings.nodes.tls.files().map_err(|why| anyhow!(why))?;
    check_url(&settings.postgres_url)?;
    one_place(&settings.redis.urls())?;
    Ok(())
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
        management = addresses.management.map(display),
        rooms = addresses.rooms.map(display),
        internal = %addresses.internal,
        grpc = addresses.grpc.map(display),
        "ready"
    );
    ended_by_signal().await
}
