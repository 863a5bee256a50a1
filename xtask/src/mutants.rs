//! Mutation tests: changes the code in one place at a time, and some test should notice each change. A run does one
//! shard of about sixty mutants; a shard's number always stands for the same ones.
//!
//! Mutated code does unexpected things: a sweep that kills processes may take any process for its own. So it runs only
//! in namespaces where it sees no other process and no network.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::shell;
use crate::summary::Summary;

/// The minimum number of mutants in one shard.
const SIZE: usize = 60;
/// The percentage of viable mutants that must be noticed.
const NOTICED: usize = 90;
/// Simulation runs of each kind per mutant: fewer than in CI, because every mutant repeats them.
const LIVES: &str = "32";
/// Allocations per mutant, fewer than in CI likewise (`actors/tests/allocations.rs`).
const ALLOCATIONS: &str = "2000";

/// What is mutated, and by whose tests it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The state machine, by the stories and lives of the simulation: core's own tests are of the rules
    State,
    /// The shell around it, by its own tests
    Actors,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Actors => "actors",
        }
    }

    fn chosen(self) -> &'static [&'static str] {
        match self {
            Self::State => &[
                "--package",
                "maestro-core",
                "--file",
                "core/src/state/**/*.rs",
            ],
            Self::Actors => &["--package", "maestro-actors"],
        }
    }

    fn judges(self) -> &'static [&'static str] {
        match self {
            Self::State => &["maestro-simulation"],
            Self::Actors => &["maestro-actors"],
        }
    }
}

/// Runs one shard and counts the mutants that were noticed.
///
/// # Errors
/// If `cargo mutants` or namespaces are not available, or the unchanged code does not pass.
pub fn run(subject: Subject, shard: usize, summary: &mut Summary) -> Result<()> {
    shell::run(&mut isolated("true")).context(
        "mutated code must not see other processes, and no namespace of its own can be made here; \
         run this as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)",
    )?;
    install()?;
    let shards = (count(subject)? / SIZE).max(1);
    ensure!(
        shard < shards,
        "there are {shards} shards of {}, numbered from 0",
        subject.name()
    );
    let output = shell::target()
        .join("mutants")
        .join(format!("{}-{shard}", subject.name()));
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = isolated(&cargo);
    command.arg("mutants").args(subject.chosen());
    for package in subject.judges() {
        command.args(["--test-package", package]);
    }
    command.args(["--shard", &format!("{shard}/{shards}")]);
    command.args(["--no-shuffle", "--cargo-arg=--offline", "--output"]);
    command.arg(&output);
    command.env("PROPTEST_CASES", LIVES).env("SIM_SEEDS", LIVES);
    // Any failing run is enough: no shrinking.
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0");
    command.env("ALLOCATIONS", ALLOCATIONS);
    // Nobody debugs a mutant, and debug information makes linking each of them slower.
    command.env("CARGO_PROFILE_DEV_DEBUG", "none");
    shell::show(&command);
    let status = command.status().context("cannot run cargo mutants")?;
    // 2: some were missed, 3: some took too long; both are counted below.
    ensure!(
        matches!(status.code(), Some(0 | 2 | 3)),
        "cargo mutants: {status}; see {}",
        output.display()
    );
    let of = |kind: &str| -> Result<Vec<String>> {
        let path = output.join("mutants.out").join(format!("{kind}.txt"));
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    judge(
        subject,
        of("caught")?.len() + of("timeout")?.len(),
        &of("missed")?,
        summary,
    );
    Ok(())
}

/// Reports the result of one shard. A hanging mutant counts as noticed: a developer would see it.
fn judge(subject: Subject, noticed: usize, missed: &[String], summary: &mut Summary) {
    let viable = noticed + missed.len();
    println!(
        "{noticed} of {viable} viable mutants of {} were noticed",
        subject.name()
    );
    for mutant in missed {
        println!("missed: {mutant}");
    }
    if noticed * 100 < viable * NOTICED {
        let why = format!("fewer than {NOTICED} % of {viable} mutants were noticed");
        summary.fail(format!("{}: {why}", subject.name()));
    } else {
        summary.counts.passed += 1;
    }
}

fn count(subject: Subject) -> Result<usize> {
    let mut list = shell::cargo(&["mutants", "--list"]);
    list.args(subject.chosen());
    let shown = shell::show(&list);
    let listed = list
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    let said = String::from_utf8_lossy(&listed.stderr);
    ensure!(listed.status.success(), "{shown}: {said}");
    Ok(String::from_utf8_lossy(&listed.stdout).lines().count())
}

fn install() -> Result<()> {
    let mut there = shell::cargo(&["mutants", "--version"]);
    if there.output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    shell::run(&mut shell::cargo(&["install", "--locked", "cargo-mutants"]))
}

/// A program in its own namespaces for processes and network (loopback only). Its processes end with it.
fn isolated(program: &str) -> Command {
    let mut command = shell::program("unshare");
    if !shell::is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--pid", "--fork", "--mount-proc", "--net", "--kill-child"]);
    let script = "ip link set lo up 2>/dev/null; exec \"$@\"";
    command.args(["--", "sh", "-c", script, "sh", program]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitCode;

    #[test]
    fn nine_of_ten_are_enough_and_fewer_are_a_failure() {
        let missed = vec!["somewhere: replace + with -".to_owned()];
        for (noticed, failed) in [(9, 0), (8, 1)] {
            let mut summary = Summary::default();
            judge(Subject::State, noticed, &missed, &mut summary);
            assert_eq!(summary.counts.failed, failed, "{noticed}");
        }
        let mut summary = Summary::default();
        judge(Subject::Actors, 0, &[], &mut summary);
        assert_eq!(
            format!("{:?}", summary.close()),
            format!("{:?}", ExitCode::SUCCESS)
        );
    }

    #[test]
    fn a_mutant_never_runs_among_other_processes() {
        let command = isolated("cargo");
        let words: Vec<_> = command
            .get_args()
            .filter_map(|word| word.to_str())
            .collect();
        for namespace in ["--pid", "--mount-proc", "--net", "--kill-child"] {
            assert!(words.contains(&namespace), "{words:?}");
        }
        assert_eq!(words.last(), Some(&"cargo"));
    }
}
