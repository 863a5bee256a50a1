//! Lives of a fleet under faults, in the simulated world: by seeds, with players and a store
//! that fails, and drawn by the property tests. Built without optimization: 1,000 seeds take seconds
//! all the same, and the checks of arithmetic are part of what is tested.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::shell;
use crate::summary::Summary;
use crate::tests::counted;

/// The number of lives for a submission.
pub const CI_SEEDS: u64 = 1_000;
/// And for how long at most, both parts together.
pub const CI_MOST: Duration = Duration::from_secs(300);

const HINT: &str = "; if a line above says SIM_SEED=NUMBER, `cargo xtask simulate --seed NUMBER` \
     tells that story again; a property test prints its smallest failing case";

/// Plays one story alone, from its beginning to its end.
///
/// # Errors
/// When cargo cannot be started.
pub fn one(seed: u64, summary: &mut Summary) -> Result<()> {
    let mut command = lives("seeds");
    command.arg("--nocapture");
    command.env("SIM_SEED", seed.to_string());
    eprintln!("seed {seed}");
    counted(command, "", summary, |_| {}).map(drop)
}

/// Plays the stories of the seeds below `seeds`, then as many cases of each property, `most` at most.
///
/// # Errors
/// When cargo cannot be started.
pub fn many(seeds: u64, most: Option<Duration>, summary: &mut Summary) -> Result<()> {
    let begun = Instant::now();
    let mut stories = lives("seeds");
    stories.env("SIM_SEEDS", seeds.to_string());
    let mut properties = lives("properties");
    properties.env("PROPTEST_CASES", seeds.to_string());
    for (what, command) in [("stories", stories), ("properties", properties)] {
        let left = most.map(|most| most.saturating_sub(begun.elapsed()));
        bounded(what, seeds, command, left, summary)?;
    }
    println!("{seeds} seeds took {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// The lives of one kind.
fn lives(kind: &str) -> Command {
    let mut command = shell::cargo(&["test", "--package", "maestro-simulation"]);
    command.args(["--test", "stress", "--", kind]);
    command
}

/// Ends the command when its time is over: what it has not played by then is left, visibly.
fn bounded(
    what: &str,
    seeds: u64,
    mut command: Command,
    most: Option<Duration>,
    summary: &mut Summary,
) -> Result<()> {
    eprintln!("{seeds} {what}");
    let Some(most) = most else {
        return counted(command, HINT, summary, |_| {}).map(drop);
    };
    // cargo's test is a process of its own: they are ended together.
    command.process_group(0);
    let (ended, over) = channel::<()>();
    let mut watch = None;
    let status = counted(command, HINT, summary, |group| {
        watch = Some(thread::spawn(move || {
            let late = over.recv_timeout(most) == Err(RecvTimeoutError::Timeout);
            if late {
                let mut kill = shell::program("kill");
                kill.args(["-KILL", "--", &format!("-{group}")]);
                if let Err(error) = shell::run(&mut kill) {
                    eprintln!("{error:#}");
                }
            }
            late
        }));
    })?;
    drop(ended);
    let late = watch.is_some_and(|watch| watch.join().unwrap_or(false));
    if late {
        let why = "its time was over: all that it played went well";
        summary.pass_over(&format!("the rest of {seeds} {what}"), why);
    } else if status.code().is_none() {
        summary.fail(format!("{what}: {status}"));
    }
    Ok(())
}
