//! `maestro demo`: a fleet of sample rooms that scales with its matches, a rolling update and
//! one crash, in a temporary folder.
//! Everything that it does goes through the HTTP APIs, as a user's own tools would.

mod api;
mod matchmaker;
mod screen;
mod script;
mod story;
mod summary;

use crate::cli::DemoArgs;
use crate::logging;
use crate::scratch::Scratch;
use crate::serve::serve;
use crate::settings::{self, Settings};
use anyhow::{Context, bail};
use maestro_runtime::process::room_processes;
use std::time::{Duration, Instant};

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
    let folder = Scratch::new("maestro-demo-");
    let folder = folder.context("cannot make a temporary folder")?;
    let settings = demo_settings(folder.path())?;
    let (rooms, time) = (args.rooms, args.duration);
    let mut installation = String::new();
    let told = serve(&settings, |addresses| {
        installation.clone_from(&addresses.installation);
        story::tell(addresses, rooms, time)
    });
    let left = wait_until_gone(&installation);
    let summary = told?;
    summary.print(left);
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
