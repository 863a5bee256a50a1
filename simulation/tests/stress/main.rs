//! Lives of a fleet under faults, drawn at random: by proptest, which finds the smallest
//! failing one, and by seeds, with players in the rooms and a store that fails.
//!
//! `SIM_SEEDS=n` runs more seeds, `SIM_SEED=x` one alone and prints its story;
//! `PROPTEST_CASES=n` more cases of each property.

mod players;
mod properties;
mod rng;
mod seeds;
