//! Runs three nodes on real stores while everything around them fails (`tests/faults`), with the optimized binary and
//! as many kills as one likes.

use anyhow::Result;

use crate::shell;
use crate::summary::Summary;
use crate::tests::counted;

/// The limit of a take-over (p99) with sessions of three seconds; in CI, where the binary is not optimized and other
/// tests run beside, the test grants more.
const TAKEOVER_MILLIS: &str = "5000";

/// Kills nodes so often, and lets everything else fail as often as that takes; `seed` decides the order.
///
/// # Errors
/// If cargo cannot be started.
pub fn run(kills: u64, seed: Option<u64>, summary: &mut Summary) -> Result<()> {
    let mut command = shell::cargo(&["test", "--release", "--package", "maestro"]);
    command.args(["--test", "faults", "--", "--nocapture"]);
    command.env("FAULTS_KILLS", kills.to_string());
    command.env("FAULTS_TAKEOVER_MILLIS", TAKEOVER_MILLIS);
    if let Some(seed) = seed {
        command.env("FAULTS_SEED", seed.to_string());
    }
    let hint = "; its logs are in target/tmp, and FAULTS_SEED above repeats its faults";
    counted(command, hint, summary, |_| {}).map(drop)
}
