//! Runs several nodes on one store under faults that a seed determines.

use crate::rng::number;
use maestro_simulation::cluster::{Cluster, Figures};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const SEEDS: u64 = 100;

fn run(seed: u64) -> Figures {
    live(seed, Cluster::new(seed))
}

fn live(seed: u64, mut cluster: Cluster) -> Figures {
    let ended = catch_unwind(AssertUnwindSafe(|| cluster.live()));
    if let Err(panic) = ended {
        let all = std::env::var_os("SIM_SEED").is_some();
        let trace = cluster.trace();
        let shown = if all {
            trace.len()
        } else {
            40.min(trace.len())
        };
        for line in &trace[trace.len() - shown..] {
            println!("{line}");
        }
        println!("SIM_SEED={seed} tells this story again, from its beginning");
        resume_unwind(panic);
    }
    cluster.figures()
}

#[test]
fn every_scheduler_has_one_owner_whatever_fails() {
    if let Some(seed) = number("SIM_SEED") {
        println!("{:?}", run(seed));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let mut all = Figures::default();
    for seed in 0..seeds {
        let one = run(seed);
        all.owners += one.owners;
        all.allocations += one.allocations;
        all.operations += one.operations;
        all.matches += one.matches;
        all.repairs += one.repairs;
        all.fenced += one.fenced;
        all.events += one.events;
    }
    println!("{seeds} seeds: {all:?}");
    // A simulation in which nothing happens would test nothing.
    assert!(all.owners > 10 * seeds && all.allocations > seeds && all.operations > seeds);
    assert!(all.matches > seeds / 2 && all.repairs > seeds / 4 && all.fenced > seeds / 4);
}

/// docs/scale.md says how it is run with 20 nodes and 20,000 schedulers.
#[test]
fn many_nodes_share_many_schedulers_whatever_fails() {
    let nodes = number("SIM_NODES").unwrap_or(8) as usize;
    let schedulers = number("SIM_SCHEDULERS").unwrap_or(80) as usize;
    let seed = number("SIM_SEED").unwrap_or(1);
    let figures = live(seed, Cluster::sized(seed, nodes, schedulers));
    println!("{nodes} nodes, {schedulers} schedulers: {figures:?}");
    assert!(figures.owners >= schedulers as u64 && figures.operations > 0);
}

#[test]
fn a_cluster_of_one_seed_lives_the_same_each_time() {
    for seed in [2, 5] {
        let [first, second] = [run(seed), run(seed)].map(|figures| format!("{figures:?}"));
        assert_eq!(first, second);
    }
}
