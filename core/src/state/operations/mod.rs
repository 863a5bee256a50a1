//! The lifecycle of operations: queued in two lanes, run, ended, kept for a while (contract 5; architecture 6). Each
//! kind has a file of its own.

mod add;
mod cancel;
mod consider;
mod create;
mod delete;
mod ended;
mod history;
mod live;
mod observe;
mod orphan;
mod place;
mod progress;
mod queue;
mod remove;
mod rollback;
mod runtime;
mod scale_live;
mod start;
mod switch;
mod upkeep;
mod version;

pub(super) use progress::{Fault, FaultKind, Progress, Running};
pub(super) use queue::{Enqueue, Operations};
pub(super) use runtime::being_removed;
