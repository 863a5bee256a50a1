//! The measured processes: our own binary, which is started and ended here.

use crate::api::Api;
use crate::gauge;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(60);

/// A child that is ended when this value is dropped.
pub struct Process(Child);

impl Process {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, signal: Signal) {
        // Not reaped yet, so the pid is still the child's; an ended child ignores signals.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends TERM; returns how long it took to end.
    ///
    /// # Errors
    /// If it did not end in time; then it is killed.
    pub async fn stop(mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.signal(Signal::TERM);
        while began.elapsed() < STOP_MAX {
            if self.0.try_wait()?.is_some() {
                return Ok(began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("process {} did not end within {STOP_MAX:?}", self.pid())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Where a server that is started here keeps its state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    /// In the file of its data folder.
    Own,
    /// Where the settings of the environment say.
    OfEnvironment,
}

/// An orchestrator, with its three addresses.
pub struct Server {
    pub process: Process,
    pub management: String,
    pub rooms: String,
    pub internal: String,
    /// The time from the start of the process to its ready message.
    pub started_in: Duration,
    /// The time from the start of the process to the first 200 of the management API.
    pub first_200: Duration,
}

impl Server {
    /// Starts a server on free loopback ports, with its data and its log in `folder`.
    ///
    /// # Errors
    /// If it did not come up; the error contains its output.
    pub async fn start(
        folder: &Path,
        settings: &[(&str, String)],
        stores: Stores,
    ) -> anyhow::Result<Self> {
        let log = folder.join("server.log");
        let mut command = clean_command(stores)?;
        command
            .args(["start", "all", "--data-dir"])
            .arg(folder.join("data"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).context("cannot write the server's log")?);
        // A port known in advance, so that it can be polled from the start.
        let wanted = settings
            .iter()
            .find(|(name, _)| *name == "MAESTRO_API_PORT");
        let port = match wanted {
            Some((_, port)) => port.clone(),
            None => {
                let free = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
                free.port().to_string()
            }
        };
        command.env("MAESTRO_API_PORT", &port);
        for port in [
            "MAESTRO_ROOMSAPI_PORT",
            "MAESTRO_INTERNALAPI_PORT",
            "MAESTRO_GRPC_PORT",
        ] {
            command.env(port, "0");
        }
        for (name, value) in settings {
            command.env(name, value);
        }
        let began = Instant::now();
        let child = command.spawn().context("the server cannot be started")?;
        let mut process = Process(child);
        let asked = tokio::spawn(first_200(format!("http://127.0.0.1:{port}"), began));
        let ready = wait_until_ready(&mut process, &log, began).await?;
        let started_in = began.elapsed();
        let url = |name: &str| {
            let url = ready[name].as_str().map(str::to_owned);
            url.with_context(|| format!("the server did not name its {name} address"))
        };
        Ok(Self {
            management: url("management")?,
            rooms: url("rooms")?,
            internal: url("internal")?,
            process,
            started_in,
            first_200: asked.await.context("asking was interrupted")??,
        })
    }

    pub fn resident_mib(&self) -> Option<f64> {
        gauge::resident_kib(self.process.pid()).map(|kib| kib as f64 / 1024.0)
    }
}

/// The time until a new server first answers its list of schedulers.
async fn first_200(url: String, began: Instant) -> anyhow::Result<Duration> {
    while began.elapsed() < START_MAX {
        if let Ok(mut api) = Api::connect(&url).await
            && api.ok("GET", "/schedulers", None).await.is_ok()
        {
            return Ok(began.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("no answer within {START_MAX:?}")
}

/// The fields of the ready message.
async fn wait_until_ready(
    process: &mut Process,
    log: &PathBuf,
    began: Instant,
) -> anyhow::Result<Value> {
    while began.elapsed() < START_MAX {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let mut ready = lines.filter(|line| line["message"] == "ready");
        if let Some(line) = ready.next() {
            return Ok(line.clone());
        }
        if process.0.try_wait()?.is_some() {
            bail!("the server ended at once:\n{text}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("the server was not ready within {START_MAX:?}")
}

/// The baseline process and its address.
pub struct Baseline {
    pub process: Process,
    pub url: String,
}

impl Baseline {
    /// # Errors
    /// If it does not print its address.
    pub fn start() -> anyhow::Result<Self> {
        let mut command = clean_command(Stores::Own)?;
        command
            .args(["bench", "baseline"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("the baseline cannot be started")?;
        let stdout = child.stdout.take().context("the baseline has no output")?;
        let process = Process(child);
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        if url.trim().is_empty() {
            bail!("the baseline did not come up");
        }
        Ok(Self {
            process,
            url: url.trim().to_owned(),
        })
    }
}

/// Our own binary without the user's settings, except for the stores if they are to be used.
fn clean_command(stores: Stores) -> anyhow::Result<Command> {
    let binary = std::env::current_exe().context("cannot find our own binary")?;
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let key = name.to_string_lossy().to_ascii_uppercase();
        let kept = stores == Stores::OfEnvironment && key.starts_with("MAESTRO_ADAPTERS_");
        if key.starts_with("MAESTRO_") && !kept {
            command.env_remove(name);
        }
    }
    Ok(command)
}
