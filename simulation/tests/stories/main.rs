//! Stories: scripted tests of one fleet's state machine in a simulated world.

#![allow(
    clippy::unwrap_used,
    reason = "a story ends at the first order that is refused"
)]

mod contract;
mod creations;
mod decisions;
mod draining;
mod ends;
mod forwarding;
mod lifecycle;
mod live;
mod losses;
mod matchmakers;
mod measured;
mod mended;
mod orders;
mod outages;
mod pinging;
mod removals;
mod retention;
mod rollouts;
mod runtimes;
mod scaling;
mod takeover;
mod traces;
mod troubles;
mod versions;
