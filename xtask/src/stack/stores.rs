//! Postgres and Redis of the local stack, from the programs that are installed.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::plan::{POSTGRES_PORT, REDIS_PORT};
use crate::setup::{self, POSTGRES, REDIS};
use crate::shell;

/// Postgres does not run as the superuser.
const SERVICE: &str = "postgres";
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// Both stores, with their data in this folder.
pub struct Stores {
    folder: PathBuf,
    programs: PathBuf,
}

impl Stores {
    /// # Errors
    /// If a program is missing and cannot be installed here; the message is what to type.
    pub fn find(folder: &Path) -> Result<Self> {
        for need in [POSTGRES, REDIS] {
            if let Err(line) = need.meet() {
                bail!("{} is missing; type: {line}", need.program);
            }
        }
        let programs = setup::postgres_programs().context("initdb is missing")?;
        Ok(Self {
            folder: folder.to_owned(),
            programs,
        })
    }

    /// Starts what does not run yet. True if something had to be started.
    ///
    /// # Errors
    /// If a port is taken, or a server does not start; the message names its log.
    pub fn up(&self) -> Result<bool> {
        fs::create_dir_all(&self.folder)?;
        let postgres = self.start_postgres()?;
        let redis = self.start_redis()?;
        Ok(postgres || redis)
    }

    /// Ends both. Their data stays.
    ///
    /// # Errors
    /// If one does not end.
    pub fn down(&self) -> Result<()> {
        if self.data().join("postmaster.pid").exists() {
            let mut stop = self.postgres_tool("pg_ctl");
            stop.arg("-D")
                .arg(self.data())
                .args(["-m", "fast", "-w", "stop"]);
            shell::run(&mut stop)?;
        }
        if self.redis_runs() {
            let port = REDIS_PORT.to_string();
            let mut stop = shell::program("redis-cli");
            shell::run(stop.args(["-p", &port, "shutdown"]))?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    fn start_postgres(&self) -> Result<bool> {
        let data = self.data();
        let mut status = self.postgres_tool("pg_ctl");
        if status
            .arg("-D")
            .arg(&data)
            .arg("status")
            .output()?
            .status
            .success()
        {
            return Ok(false);
        }
        refuse_if_taken("Postgres", POSTGRES_PORT)?;
        let log = self.folder.join("postgres.log");
        let fresh = !data.join("PG_VERSION").exists();
        if fresh {
            fs::create_dir_all(&data)?;
            fs::write(&log, "")?;
            if shell::is_root() {
                let mut owner = shell::program("chown");
                shell::run(owner.arg(SERVICE).args([&data, &log]))?;
            }
            let mut create = self.postgres_tool("initdb");
            create.args([
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-U",
                "maestro",
                "-D",
            ]);
            shell::run(create.arg(&data))?;
        }
        let options =
            format!("-p {POSTGRES_PORT} -c listen_addresses=127.0.0.1 -c unix_socket_directories=");
        let mut start = self.postgres_tool("pg_ctl");
        start.arg("-D").arg(&data).arg("-l").arg(&log);
        // Its output stays with the server, which outlives this task.
        start
            .args(["-w", "-o", &options, "start"])
            .stdout(std::process::Stdio::null());
        shell::run(&mut start).with_context(|| format!("see {}", log.display()))?;
        if fresh {
            let port = POSTGRES_PORT.to_string();
            let mut create = self.postgres_tool("createdb");
            shell::run(create.args(["-h", "127.0.0.1", "-p", &port, "-U", "maestro", "maestro"]))?;
        }
        Ok(true)
    }

    fn start_redis(&self) -> Result<bool> {
        if self.redis_runs() {
            return Ok(false);
        }
        refuse_if_taken("Redis", REDIS_PORT)?;
        let data = self.folder.join("redis");
        fs::create_dir_all(&data)?;
        let port = REDIS_PORT.to_string();
        let mut start = shell::program("redis-server");
        start.args(["--port", &port, "--bind", "127.0.0.1", "--daemonize", "yes"]);
        start.args([
            "--appendonly",
            "yes",
            "--maxmemory-policy",
            "noeviction",
            "--dir",
        ]);
        start
            .arg(&data)
            .arg("--logfile")
            .arg(self.folder.join("redis.log"));
        shell::run(&mut start)?;
        let until = Instant::now() + STARTS_WITHIN;
        while !self.redis_runs() {
            ensure!(
                Instant::now() < until,
                "Redis does not answer; see {}/redis.log",
                self.folder.display()
            );
            sleep(Duration::from_millis(20));
        }
        Ok(true)
    }

    /// Whether the Redis of this folder runs, and not one of somebody else's.
    fn redis_runs(&self) -> bool {
        let port = REDIS_PORT.to_string();
        let mut ask = shell::program("redis-cli");
        let said = ask.args(["-p", &port, "config", "get", "dir"]).output();
        let own = self.folder.join("redis");
        said.is_ok_and(|said| {
            String::from_utf8_lossy(&said.stdout).contains(&*own.to_string_lossy())
        })
    }

    fn postgres_tool(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        if !shell::is_root() {
            return shell::program(&program.to_string_lossy());
        }
        let mut command = shell::program("runuser");
        command.args(["-u", SERVICE, "--"]).arg(program);
        // The workspace may be in a folder that only the superuser can enter.
        command.current_dir("/");
        command
    }
}

fn refuse_if_taken(what: &str, port: u16) -> Result<()> {
    ensure!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "{what} of the stack cannot listen at 127.0.0.1:{port}, because something does already; end that first"
    );
    Ok(())
}
