//! A process that outlives the demonstration and cleans up after it, however it ended.
//!
//! Rooms outlive the orchestrator by design, so a killed demonstration would leave its rooms forever. The watchdog
//! holds the reading end of a pipe whose other end only the demonstration has: when that closes, the demonstration is
//! over.

use super::marker;
use anyhow::{Context, bail};
use clap::Args;
use maestro_runtime::process::{kill_room_processes, remove_tree};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long a clean-up tries.
const CLEAN_MAX: Duration = Duration::from_secs(20);
const CLEAN_LOOK: Duration = Duration::from_millis(20);
/// What it prints once it ignores all signals but KILL.
const LISTENING: u8 = b'.';

/// The options of `maestro demo-watchdog`.
#[derive(Debug, Clone, Args)]
pub struct WatchdogArgs {
    /// The folder of the demo
    pub folder: PathBuf,
}

/// The watchdog as the demonstration holds it. Dropping it waits for the clean-up.
pub struct Watchdog(Child);

impl Watchdog {
    /// Watches over `folder`.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let child = Command::new("/proc/self/exe")
            .arg0("maestro")
            .arg("demo-watchdog")
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut watchdog = Self(child.context("cannot start the demo's watchdog")?);
        let mut said = [0];
        let listens = match watchdog.0.stdout.take() {
            Some(mut out) => out.read_exact(&mut said).is_ok() && said == [LISTENING],
            None => false,
        };
        match listens {
            true => Ok(watchdog),
            false => bail!("the demo's watchdog ended; run the demo again"),
        }
    }

    /// Passes the demonstration's installation to the watchdog. Must be called before the first room.
    ///
    /// # Errors
    /// If the watchdog is gone.
    pub fn guard(&mut self, installation: &str) -> anyhow::Result<()> {
        let to = self.0.stdin.as_mut().context("it is told once")?;
        let told = to.write_all(installation.as_bytes());
        told.context("the demo's watchdog is gone; run the demo again")
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // While a panic unwinds, the server's threads keep replacing killed rooms: the process ends first.
        if !std::thread::panicking() {
            // The clean-up has its own time limit.
            let _ = self.0.wait();
        }
    }
}

/// Waits for the end of the demonstration and cleans up after it.
///
/// # Errors
/// If the folder does not belong to a demonstration, or something is left.
pub fn watch(args: &WatchdogArgs) -> anyhow::Result<()> {
    let folder = &args.folder;
    if !marker::is_marked(folder) {
        bail!("{} is no folder of a demo", folder.display());
    }
    // Detached from the terminal. Fails only if it is already a session leader.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let _entered = runtime.enter();
    // The signals are ignored: one with a handler does not end the process.
    let mut unheard = Vec::new();
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ] {
        unheard.push(signal(kind)?);
    }
    std::io::stdout().write_all(&[LISTENING])?;
    std::io::stdout().flush()?;
    let mut installation = String::new();
    std::io::stdin().read_to_string(&mut installation)?;
    match clean(folder, &installation) {
        true => Ok(()),
        false => bail!("{} cannot be cleaned up", folder.display()),
    }
}

/// Ends the rooms of an installation and deletes its folder; false: something is left. An empty `installation` had no
/// rooms.
#[expect(clippy::disallowed_methods, reason = "nobody else needs this thread")]
pub fn clean(folder: &Path, installation: &str) -> bool {
    let until = Instant::now() + CLEAN_MAX;
    loop {
        let killed = match installation {
            "" => Ok(0),
            mark => kill_room_processes(mark),
        };
        let is_gone = match remove(folder) {
            Ok(()) => true,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if is_gone && matches!(killed, Ok(0)) {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(CLEAN_LOOK);
    }
}

/// Deletes the marker last, so that the next demonstration continues a clean-up that was killed.
fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() != marker::NAME {
            remove_tree(&entry.path())?;
        }
    }
    remove_tree(folder)
}
