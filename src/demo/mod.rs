//! `maestro demo`: a fleet of sample rooms that scales with its matches, a rolling update and
//! one crash, in a temporary folder.
//! Everything that it does goes through the HTTP APIs, as a user's own tools would.

mod api;
mod leftovers;
mod matchmaker;
mod screen;
mod script;
mod story;
mod summary;
mod watchdog;

pub use watchdog::{WatchdogArgs, watch};

use crate::cli::DemoArgs;
use crate::logging;
use crate::serve::serve;
use crate::settings::{self, Settings};
use anyhow::{Context, bail};
use maestro_runtime::process::room_processes;
use std::time::{Duration, Instant};
use watchdog::Watchdog;

/// How long processes may take to go after the last room was told to end.
const LEFT_WAIT: Duration = Duration::from_secs(5);

/// Runs the demonstration until Ctrl-C, or for the given time.
///
/// # Errors
/// When it cannot start, and when what it saw is not as it should be: a room allocated
/// twice, an operation or a rolling update that did not end, a crashed room that was not
/// replaced, a process that is left.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    logging::init_quiet();
    leftovers::sweep(&std::env::temp_dir());
    let folder = tempfile::Builder::new().prefix(watchdog::PREFIX).tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    let mut watchdog = Watchdog::start(folder.path())?;
    // From here on it is the watchdog's to delete, however this process ends.
    let folder = folder.keep();
    let settings = demo_settings(&folder)?;
    let (rooms, time) = (args.rooms, args.duration);
    let mut installation = String::new();
    let told = serve(&settings, |addresses| {
        installation.clone_from(&addresses.installation);
        let guarded = watchdog.guard(&installation);
        async move {
            guarded?;
            story::tell(addresses, rooms, time).await
        }
    });
    let left = match &told {
        Ok(_) => wait_until_gone(&installation),
        // Nobody has told its rooms to end.
        Err(_) => 0,
    };
    drop(watchdog);
    let summary = told?;
    summary.print(left)?;
    if left > 0 {
        bail!("{left} room processes are left");
    }
    summary.verdict()
}

/// The usual ports when they are free, so that the URLs are easy to type; else any.
fn demo_settings(folder: &std::path::Path) -> anyhow::Result<Settings> {
    let mut settings = settings::load(None, std::env::vars_os(), &[])?.settings;
    settings.data_dir = folder.into();
    settings.core.paused = false;
    for listen in [
        &mut settings.api,
        &mut settings.rooms_api,
        &mut settings.internal_api,
        &mut settings.grpc,
    ] {
        if std::net::TcpListener::bind((listen.host.as_str(), listen.port)).is_err() {
            listen.port = 0;
        }
    }
    Ok(settings)
}

fn wait_until_gone(installation: &str) -> usize {
    if installation.is_empty() {
        return 0;
    }
    let until = Instant::now() + LEFT_WAIT;
    loop {
        let left = room_processes(installation).map_or(0, |left| left.len());
        if left == 0 || Instant::now() > until {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
