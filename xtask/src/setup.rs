//! Installs what the tests need besides the Rust toolchain, where this machine allows it.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Result, bail};

use crate::{kubernetes, shell};

/// A program that a test runs, and the Debian package it is in.
pub struct Need {
    pub program: &'static str,
    pub package: &'static str,
}

/// Runs the clients of the manual.
pub const PYTHON: Need = Need {
    program: "python3",
    package: "python3",
};

/// Counts the instructions of a decision.
pub const VALGRIND: Need = Need {
    program: "valgrind",
    package: "valgrind",
};

/// Reads the page of metrics and the alerts of the manual.
pub const PROMTOOL: Need = Need {
    program: "promtool",
    package: "prometheus",
};

/// Shows the API's page, and pages of other sites that attack it.
pub const CHROMIUM: Need = Need {
    program: "chromium",
    package: "chromium",
};

/// Holds rooms and operations of the cluster store.
pub const REDIS: Need = Need {
    program: "redis-server",
    package: "redis-server",
};

/// Holds schedulers and their owners in the cluster store. Debian keeps its programs by version, off the search path.
pub const POSTGRES: Need = Need {
    program: "initdb",
    package: "postgresql",
};

/// Shares connections to Postgres among nodes. Debian installs it where the search path of users does not lead.
pub const PGBOUNCER: Need = Need {
    program: "pgbouncer",
    package: "pgbouncer",
};

/// Checks the file of the local stack.
pub const COMPOSE: Need = Need {
    program: "docker-compose",
    package: "docker-compose",
};

/// Makes networks for tests.
pub const IP: Need = Need {
    program: "ip",
    package: "iproute2",
};

const ALL: &[Need] = &[
    PYTHON, VALGRIND, PROMTOOL, CHROMIUM, REDIS, POSTGRES, PGBOUNCER, COMPOSE, IP,
];

/// Installs everything.
///
/// # Errors
/// If something is missing and cannot be installed here; the message is the command to type.
pub fn run() -> Result<()> {
    for need in ALL {
        if let Err(line) = need.meet() {
            bail!("{} is missing; type: {line}", need.program);
        }
        println!("{}: present", need.program);
    }
    match kubernetes::find()? {
        Ok(folder) => println!("control plane: {}", folder.display()),
        Err(missing) => println!("control plane: {missing}"),
    }
    Ok(())
}

impl Need {
    /// Finds the program, or installs it.
    ///
    /// # Errors
    /// The command to type, if it cannot be installed without a password.
    pub fn meet(&self) -> Result<(), String> {
        if !self.is_met() && may_install() {
            let mut update = shell::program("apt-get");
            update.args(["update", "-q"]);
            let mut install = shell::program("apt-get");
            install.args([
                "install",
                "-q",
                "-y",
                "--no-install-recommends",
                self.package,
            ]);
            install.env("DEBIAN_FRONTEND", "noninteractive");
            for command in [&mut update, &mut install] {
                if let Err(error) = shell::run(command) {
                    eprintln!("{error:#}");
                }
            }
        }
        if self.is_met() {
            return Ok(());
        }
        Err(format!(
            "sudo apt-get install {} (or your system's own way)",
            self.package
        ))
    }

    fn is_met(&self) -> bool {
        shell::exists(self.program)
            || Path::new("/usr/sbin").join(self.program).is_file()
            || self.program == POSTGRES.program && postgres_programs().is_some()
    }
}

/// Whether a task may use apt: only as root, because a task never asks for a password.
fn may_install() -> bool {
    shell::is_root() && shell::exists("apt-get")
}

/// Where the programs of Postgres are: all of them are in the folder of its package, but not on the search path.
pub fn postgres_programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let below = versions.flatten().map(|version| version.path().join("bin"));
    let mut folders = below.chain(env::split_paths(&path));
    folders.find(|folder| folder.join(POSTGRES.program).is_file())
}
