//! The local stack without Docker: the processes of `docker-compose.yml`, from the programs that are installed.
#![allow(
    clippy::disallowed_methods,
    reason = "a task has its thread for itself"
)]

mod plan;
mod stores;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::shell;
use plan::{Plan, Process};
use stores::Stores;

/// How long a module may take to be ready, and to end.
const READY_WITHIN: Duration = Duration::from_secs(90);
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A part of the stack; without one, all of it until Ctrl-C.
#[derive(Clone, Copy, Subcommand)]
pub enum Part {
    /// Start Postgres and Redis, and leave them running
    Up,
    /// End Postgres and Redis; their data stays
    Down,
    /// Migrate the database of the stack
    Migrate,
    /// Print the processes of the stack as JSON
    Plan,
}

/// Where things are.
#[derive(Clone)]
pub struct Places {
    /// Data of the stores and rooms, and logs.
    pub folder: PathBuf,
    /// The program, if it need not be built.
    pub program: Option<PathBuf>,
}

impl Places {
    /// # Errors
    /// If there is no temporary folder for the superuser's.
    pub fn new(folder: Option<PathBuf>, program: Option<PathBuf>) -> Self {
        // The user of Postgres cannot enter the superuser's home.
        let usual = || match shell::is_root() {
            true => PathBuf::from("/var/tmp/maestro-stack"),
            false => shell::target().join("stack"),
        };
        Self {
            folder: folder.unwrap_or_else(usual),
            program,
        }
    }

    fn program(&self) -> Result<PathBuf> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        shell::run(&mut shell::cargo(&[
            "build",
            "--release",
            "--package",
            "maestro",
        ]))?;
        Ok(shell::target().join("release/maestro"))
    }
}

/// # Errors
/// If a part of the stack does not start; the message says where to look.
pub fn run(part: Option<Part>, places: &Places) -> Result<()> {
    let plan = Plan::read(&shell::root().join("docker-compose.yml"))?;
    let plan = plan.on_this_machine(&places.folder);
    let stores = || Stores::find(&places.folder);
    match part {
        Some(Part::Plan) => println!("{}", serde_json::to_string_pretty(&plan)?),
        Some(Part::Up) => {
            stores()?.up()?;
        }
        Some(Part::Down) => stores()?.down()?,
        Some(Part::Migrate) => {
            stores()?.up()?;
            once(&places.program()?, &plan.migrate)?;
        }
        None => {
            let stores = stores()?;
            let started = stores.up()?;
            let ended = all(&plan, places);
            if started {
                stores.down()?;
            }
            ended?;
        }
    }
    Ok(())
}

fn all(plan: &Plan, places: &Places) -> Result<()> {
    let program = places.program()?;
    once(&program, &plan.migrate)?;
    let mut running = Running::new()?;
    for module in &plan.modules {
        running.start(&program, module, &places.folder)?;
    }
    running.wait_until_ready(&places.folder)?;
    plan::write_fleets(&shell::root().join("examples/stack"), &places.folder)
        .context("cannot write the demo fleet")?;
    for process in &plan.once {
        once(&program, process)?;
    }
    println!(
        "\nThe stack runs: management API http://127.0.0.1:8080, rooms API http://127.0.0.1:8070; logs in {}.\n\
         Ctrl-C ends it.",
        places.folder.display()
    );
    running.until_told()
}

fn command(program: &Path, process: &Process) -> Command {
    let mut command = Command::new(program);
    command.args(&process.arguments).envs(&process.environment);
    command.stdin(Stdio::null());
    command
}

fn once(program: &Path, process: &Process) -> Result<()> {
    shell::run(&mut command(program, process)).with_context(|| process.service.clone())
}

/// The modules. Whatever happens, none is left.
struct Running {
    modules: Vec<(Process, Child)>,
    /// By Ctrl-C or TERM.
    told_to_end: Arc<AtomicBool>,
}

impl Running {
    fn new() -> Result<Self> {
        let told_to_end = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, told_to_end.clone())?;
        }
        Ok(Self {
            modules: Vec::new(),
            told_to_end,
        })
    }

    fn is_told_to_end(&self) -> bool {
        self.told_to_end.load(Ordering::Relaxed)
    }

    fn start(&mut self, program: &Path, process: &Process, folder: &Path) -> Result<()> {
        let log = log_of(folder, process);
        let file = std::fs::File::create(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = command(program, process);
        command.stdout(file.try_clone()?).stderr(file);
        shell::show(&command);
        self.modules.push((process.clone(), command.spawn()?));
        Ok(())
    }

    fn wait_until_ready(&mut self, folder: &Path) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        let told_to_end = self.told_to_end.clone();
        for (process, child) in &mut self.modules {
            let log = log_of(folder, process);
            let port = process.environment.get("MAESTRO_INTERNALAPI_PORT");
            let port: u16 = port.context("no internal port")?.parse()?;
            while !is_ready(port) {
                ensure!(!told_to_end.load(Ordering::Relaxed), "it was told to end");
                if let Some(status) = child.try_wait()? {
                    bail!(
                        "{} ended ({status}); see {}",
                        process.service,
                        log.display()
                    );
                }
                ensure!(
                    Instant::now() < until,
                    "{} is not ready; see {}",
                    process.service,
                    log.display()
                );
                sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// Waits for Ctrl-C or TERM, or for the end of a module.
    fn until_told(&mut self) -> Result<()> {
        while !self.is_told_to_end() {
            for (process, child) in &mut self.modules {
                if let Some(status) = child.try_wait()? {
                    bail!("{} ended ({status})", process.service);
                }
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The last one first: workers hand over while the others still pass calls on.
        for (_, child) in self.modules.iter_mut().rev() {
            let pid = child.id().to_string();
            let _ = shell::program("kill").args(["-TERM", &pid]).status();
        }
        let until = Instant::now() + ENDS_WITHIN;
        for (_, child) in &mut self.modules {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
                sleep(LOOK_EVERY);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn log_of(folder: &Path, process: &Process) -> PathBuf {
    folder.join(format!("{}.log", process.service))
}

fn is_ready(port: u16) -> bool {
    use std::io::{Read, Write};
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    };
    ask().is_ok_and(|head| head.ends_with(" 200"))
}
