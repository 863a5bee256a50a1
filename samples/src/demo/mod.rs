//! `maestro demo`: a fleet of sample rooms that scales with its matches, a rolling update and one crash, in a temporary
//! folder. Everything goes through the HTTP APIs, as a user's own tools would.

mod api;
mod leftovers;
mod look;
mod marker;
mod matchmaker;
mod screen;
mod script;
mod server;
mod signals;
mod story;
mod summary;
mod watchdog;

pub use server::Server;
pub use summary::Summary;
pub use watchdog::{WatchdogArgs, watch};

use anyhow::{Context, bail};
use clap::Args;
use maestro_core::duration;
use maestro_runtime::process::room_processes;
use marker::Marker;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};
use watchdog::{Watchdog, clean};

/// How long processes may take to end after the last room's order to end.
const LEFT_WAIT: Duration = Duration::from_secs(5);

/// The options of `maestro demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many rooms the fleet has
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rooms: u32,
    /// End after this time, with a summary (30s, 2m)
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub duration: Option<Duration>,
}

/// The future that runs on a server.
pub type Play<'a> = Box<dyn FnOnce(Server) -> Playing + 'a>;
/// A running demonstration.
pub type Playing = Pin<Box<dyn Future<Output = anyhow::Result<Summary>> + Send>>;

/// Runs the demonstration until Ctrl-C, or for the given time. `serve` opens a server with its data in the given
/// folder, runs the play on it and closes it. It is passed in because only the binary can compose a server.
///
/// # Errors
/// If it cannot start, or if it saw something wrong: a room allocated twice, an operation or a rolling update that did
/// not end, a crashed room that was not replaced, a leftover process or folder.
pub fn run(
    args: &DemoArgs,
    serve: impl FnOnce(&Path, Play<'_>) -> anyhow::Result<Summary>,
) -> anyhow::Result<()> {
    leftovers::sweep(&std::env::temp_dir());
    let folder = tempfile::Builder::new().prefix(marker::PREFIX).tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    // The umask may have taken even its owner's rights.
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700))
        .context("cannot open the temporary folder to its owner")?;
    let mut marker = Marker::create(folder.path()).context("cannot mark the temporary folder")?;
    let mut watchdog = Watchdog::start(folder.path())?;
    // From here on the watchdog deletes the folder, however this process ends.
    let folder = folder.keep();
    let (rooms, time) = (args.rooms, args.duration);
    let mut installation = String::new();
    let play: Play<'_> = Box::new(|server| {
        installation.clone_from(&server.installation);
        let marked = marker.add_installation(&installation);
        let guarded = watchdog.guard(&installation);
        Box::pin(async move {
            marked.context("cannot mark the temporary folder")?;
            guarded?;
            story::tell(server, rooms, time).await
        })
    });
    let told = serve(&folder, play);
    let left = match &told {
        Ok(_) => wait_until_gone(&installation),
        // The demonstration failed before its rooms were told to end, so they are not counted as left over.
        Err(_) => 0,
    };
    drop(watchdog);
    // Cleans up here too: the watchdog may have been killed.
    let is_clean = clean(&folder, &installation);
    let summary = told?;
    summary.print(left)?;
    if left > 0 {
        bail!("{left} room processes are left");
    }
    if !is_clean {
        bail!("{} cannot be deleted", folder.display());
    }
    summary.verdict()
}

#[expect(clippy::disallowed_methods, reason = "nobody else needs this thread")]
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
