//! Development tasks: `cargo xtask <task>`. Few dependencies, so that it builds fast.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod faults;
mod guard;
mod kubernetes;
mod lint;
mod mutants;
mod settings;
mod setup;
mod shell;
mod simulate;
mod stack;
mod summary;
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use summary::Summary;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Development tasks"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that proves the program, with what it needs installed or started first
    Test,
    /// Format, lints, documentation, and the dependencies that must not be there
    Lint,
    /// Whether something is known against a dependency; needs cargo-deny and the network
    Advisories,
    /// What a submission has to pass: lint, then test
    Ci,
    /// The recorded cases of the contract against the built binary
    Golden {
        /// Areas to play instead of all
        #[arg(long = "area", value_name = "AREA")]
        areas: Vec<String>,
    },
    /// Rewrite `docs/openapi.json` from the code
    Openapi,
    /// Instructions per turn of the state machine, compared with `core/decide-cost.tsv`
    Guard {
        /// Write down what is measured instead of comparing it
        #[arg(long)]
        update: bool,
    },
    /// Lives of a fleet under faults, decided by seeds; without options as in CI
    Simulate {
        /// Plays the seeds 0 to N, and N cases of each property
        #[arg(long, value_name = "N", conflicts_with = "seed")]
        seeds: Option<u64>,
        /// Plays this seed alone and, if it fails, tells its story
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Kill nodes of a cluster, and let their stores and networks fail, while clients go on; with the optimized binary
    Faults {
        /// How many nodes are killed
        #[arg(long, value_name = "N", default_value_t = 200)]
        kills: u64,
        /// Decides the order of the faults
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Change the code in about sixty places, one at a time, and see whether a test notices
    Mutants {
        /// What is mutated
        #[arg(value_enum)]
        subject: mutants::Subject,
        /// Which sixty of all, from 0 on; the same number is always the same places
        #[arg(long, value_name = "N")]
        shard: usize,
    },
    /// Rewrite the shipped settings file and the reference of all keys from the code
    Settings,
    /// The local stack of docker-compose.yml without Docker: Postgres, Redis and all modules, until Ctrl-C
    Stack {
        #[command(subcommand)]
        part: Option<stack::Part>,
        /// Data and logs [default: target/stack; the superuser's: /var/tmp/maestro-stack]
        #[arg(long, global = true, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// The program to run, instead of building it
        #[arg(long, global = true, value_name = "FILE")]
        program: Option<PathBuf>,
    },
    /// Install what the tests need beside the Rust toolchain
    Setup,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Lint => lint::run().map(|()| ExitCode::SUCCESS),
        Task::Advisories => lint::advisories().map(|()| ExitCode::SUCCESS),
        Task::Stack {
            part,
            folder,
            program,
        } => stack::run(part, &stack::Places::new(folder, program)).map(|()| ExitCode::SUCCESS),
        Task::Setup => setup::run().map(|()| ExitCode::SUCCESS),
        Task::Settings => settings::run().map(|()| ExitCode::SUCCESS),
        Task::Test => test(),
        Task::Ci => {
            lint::run()?;
            test()
        }
        Task::Golden { areas } => {
            let mut summary = Summary::default();
            let mut play =
                shell::cargo(&["test", "--package", "maestro", "--test", "golden", "--"]);
            play.args(areas);
            tests::counted(play, "", &mut summary, |_| {})?;
            Ok(summary.close())
        }
        Task::Openapi => {
            let mut write =
                shell::cargo(&["test", "--package", "maestro-http", "--lib", "openapi"]);
            shell::run(write.env("MAESTRO_UPDATE_OPENAPI", "1"))?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Guard { update } => {
            let mut summary = Summary::default();
            guard::run(update, &mut summary)?;
            Ok(summary.close())
        }
        Task::Faults { kills, seed } => {
            let mut summary = Summary::default();
            faults::run(kills, seed, &mut summary)?;
            Ok(summary.close())
        }
        Task::Mutants { subject, shard } => {
            let mut summary = Summary::default();
            mutants::run(subject, shard, &mut summary)?;
            Ok(summary.close())
        }
        Task::Simulate { seeds, seed } => {
            let mut summary = Summary::default();
            match (seed, seeds) {
                (Some(seed), _) => simulate::one(seed, &mut summary)?,
                (None, Some(seeds)) => simulate::many(seeds, None, &mut summary)?,
                (None, None) => simulate_as_in_ci(&mut summary)?,
            }
            Ok(summary.close())
        }
    }
}

fn test() -> Result<ExitCode> {
    let mut summary = Summary::default();
    for need in [
        setup::PYTHON,
        setup::PROMTOOL,
        setup::CHROMIUM,
        setup::COMPOSE,
        setup::IP,
        setup::REDIS,
        setup::POSTGRES,
        setup::PGBOUNCER,
    ] {
        if let Err(line) = need.meet() {
            let program = need.program;
            summary.skip(program, &format!("{program} is missing; type: {line}"));
        }
    }
    kubernetes::prepare(&mut summary)?;
    // This builds the binary too, with the features of the whole workspace: building it alone would recompile much.
    tests::run(&mut summary)?;
    simulate_as_in_ci(&mut summary)?;
    guard::run(false, &mut summary)?;
    Ok(summary.close())
}

fn simulate_as_in_ci(summary: &mut Summary) -> Result<()> {
    simulate::many(simulate::CI_SEEDS, Some(simulate::CI_MOST), summary)
}
