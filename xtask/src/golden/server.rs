//! The built binary as a server on free ports, with a data folder of its own that goes when it ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell;

const START_MAX: Duration = Duration::from_secs(30);
const END_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How much of the log a failed start shows.
const TAIL_LINES: usize = 20;

/// A running `maestro start all` whose workers are paused.
pub struct Server {
    child: Child,
    folder: PathBuf,
    log: PathBuf,
    pub management: String,
    pub rooms: String,
    pub internal: String,
}

impl Server {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it does not, with the end of its log.
    pub fn start() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("maestro-golden-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let log = shell::target().join("golden.log");
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let [management, rooms, internal] = free_ports()?;
        let mut command = shell::program(&shell::target().join("debug/maestro").to_string_lossy());
        command
            .args(["start", "all", "--data-dir"])
            .arg(folder.join("data"));
        command.env("MAESTRO_API_PORT", management.to_string());
        command.env("MAESTRO_ROOMSAPI_PORT", rooms.to_string());
        command.env("MAESTRO_INTERNALAPI_PORT", internal.to_string());
        command.env("MAESTRO_GRPC_PORT", "0");
        command.env("MAESTRO_WORKERS_PAUSED", "true");
        command
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output));
        let shown = shell::show(&command);
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {shown}"))?;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let (management, rooms) = (url(management), url(rooms));
        let mut server = Self {
            child,
            folder,
            log,
            management,
            rooms,
            internal: url(internal),
        };
        server.wait_until_healthy(internal)?;
        Ok(server)
    }

    /// Where its output goes.
    pub fn log(&self) -> String {
        self.log.display().to_string()
    }

    /// Asks it to end and waits.
    ///
    /// # Errors
    /// When it has to be killed.
    pub fn end(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        let _ = shell::program("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + END_MAX;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!(
                    "the server did not end within {END_MAX:?} of TERM; its log: {}",
                    self.log()
                );
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn wait_until_healthy(&mut self, internal: u16) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        while !healthy(internal) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at its start, {status}:\n{}", self.tail());
            }
            if Instant::now() > deadline {
                bail!(
                    "no answer from /healthz within {START_MAX:?}:\n{}",
                    self.tail()
                );
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both are without effect on one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Ports that nobody has; taken together, so that they differ.
fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let sockets = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, socket) in ports.iter_mut().zip(&sockets) {
        *port = socket.local_addr()?.port();
    }
    Ok(ports)
}

fn healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    };
    ask().unwrap_or(false)
}
