//! Measures the cost of a decision in instructions and compares it with `core/decide-cost.tsv`. It
//! is the same on every machine, so a more expensive decision is noticed at once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::setup::VALGRIND;
use crate::shell;
use crate::summary::{Counts, Summary};

const EXAMPLE: &str = "decide_cost";
const FILE: &str = "core/decide-cost.tsv";
/// Kinds of turns, as the example's functions `measured_…` are called.
const KINDS: [&str; 5] = ["ping", "match", "allocate", "tick", "protect"];
const ROOMS: [u64; 3] = [10, 1_000, 100_000];
/// Enough turns to average out rare events, such as a growing table.
const TURNS: u64 = 1_000;
/// An increase by this percentage is an error.
const TOLERANCE: u64 = 10;
const HEAD: &str = "\
# Instructions per turn of the state machine, by kind of turn and number of ready rooms, counted by callgrind.
# ping: one that says what the one before said. match: one that begins or ends a match. allocate: an allocation and
# its room given back, two turns. tick: a health look that finds nothing to do. protect: a match like that of match in
# a fleet of which a third is protected, with the order that follows and its end, two turns.
# They depend on the version of rustc: after a change of rust-toolchain.toml, or one that is meant to be dearer:
# cargo xtask guard --update
";

/// Instructions per turn.
type Costs = BTreeMap<(String, u64), u64>;

/// Measures, then compares with the recorded costs or, with `update`, records new ones.
///
/// # Errors
/// If the measurement itself fails.
pub fn run(update: bool, summary: &mut Summary) -> Result<()> {
    if let Err(line) = VALGRIND.meet() {
        summary.skip("guard", &format!("valgrind is missing; type: {line}"));
        return Ok(());
    }
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--package",
        "maestro-core",
        "--example",
        EXAMPLE,
    ]))?;
    let mut measured = Costs::new();
    for rooms in ROOMS {
        measure(rooms, &mut measured)?;
    }
    let path = shell::root().join(FILE);
    if update {
        fs::write(&path, written(&measured)).with_context(|| format!("cannot write {FILE}"))?;
        println!("{FILE} is written");
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
    compare(&read(&text)?, &measured, summary);
    Ok(())
}

/// One run of the example; only the measured functions are counted.
fn measure(rooms: u64, costs: &mut Costs) -> Result<()> {
    let profile = shell::target().join("decide_cost.callgrind");
    let mut run = shell::program("valgrind");
    run.args(["--quiet", "--tool=callgrind", "--collect-atstart=no"]);
    run.arg(format!("--toggle-collect={EXAMPLE}::measured_*"));
    run.arg(format!("--callgrind-out-file={}", profile.display()));
    run.arg(shell::target().join("release/examples").join(EXAMPLE));
    run.args([rooms.to_string(), TURNS.to_string()]);
    shell::run(&mut run)?;
    let mut annotate = shell::program("callgrind_annotate");
    annotate.arg("--inclusive=yes").arg(&profile);
    let shown = shell::show(&annotate);
    let output = annotate
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    for kind in KINDS {
        let instructions = inclusive(&text, kind)
            .with_context(|| format!("callgrind saw no measured_{kind}: is it called so?"))?;
        costs.insert((kind.to_owned(), rooms), instructions / TURNS);
    }
    Ok(())
}

/// Parses `16,473,673 (29.37%)  ???:decide_cost::measured_ping [/…]`.
fn inclusive(text: &str, kind: &str) -> Option<u64> {
    let function = format!(":{EXAMPLE}::measured_{kind} ");
    let line = text.lines().find(|line| line.contains(&function))?;
    let number = line.split_whitespace().next()?;
    number.replace(',', "").parse().ok()
}

fn written(costs: &Costs) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("kind\trooms\tinstructions\n");
    for kind in KINDS {
        for rooms in ROOMS {
            if let Some(cost) = costs.get(&(kind.to_owned(), rooms)) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{kind}\t{rooms}\t{cost}");
            }
        }
    }
    text
}

fn read(text: &str) -> Result<Costs> {
    let mut costs = Costs::new();
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let [kind, rooms, cost] = cells[..] else {
            bail!("{FILE}: no line of three columns: {line}");
        };
        costs.insert((kind.to_owned(), rooms.parse()?), cost.parse()?);
    }
    Ok(costs)
}

fn compare(before: &Costs, now: &Costs, summary: &mut Summary) {
    println!("{:<10}{:>9}{:>12}{:>12}", "kind", "rooms", "before", "now");
    for kind in KINDS {
        for rooms in ROOMS {
            let key = (kind.to_owned(), rooms);
            let Some(now) = now.get(&key) else { continue };
            let Some(before) = before.get(&key) else {
                summary.fail(format!("guard: {FILE} says nothing of {kind} at {rooms}"));
                continue;
            };
            println!("{kind:<10}{rooms:>9}{before:>12}{now:>12}");
            if dearer(*before, *now) {
                summary.fail(format!(
                    "guard: a {kind} with {rooms} rooms costs {now} instructions, {before} before; \
                     if that is meant: cargo xtask guard --update"
                ));
            } else {
                summary.add(Counts {
                    passed: 1,
                    ..Counts::default()
                });
            }
        }
    }
}

fn dearer(before: u64, now: u64) -> bool {
    now * 100 > before * (100 + TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let costs: Costs = [(("ping".to_owned(), 10), 900), (("tick".to_owned(), 10), 7)].into();
        assert_eq!(read(&written(&costs)).expect("a table"), costs);
        assert!(read("kind\trooms\tinstructions\nping 10 3").is_err());
    }

    #[test]
    fn the_costs_of_a_function_are_those_within_it() {
        let text = "1,300 (99.0%)  ???:decide_cost::main [/x]\n\
                    1,234 (90.0%)  ???:decide_cost::measured_ping [/x]\n";
        assert_eq!(inclusive(text, "ping"), Some(1234));
        assert_eq!(inclusive(text, "tick"), None);
    }

    #[test]
    fn only_what_grew_beyond_the_tolerance_is_dearer() {
        assert!(!dearer(1000, 1100));
        assert!(dearer(1000, 1101));
        assert!(!dearer(1000, 10));
    }
}
