//! The actors that own the schedulers, and the handles through which everything else calls them.
//!
//! An actor here is a shell: it takes a message, passes it to the pure state machine of `maestro-core`, and executes
//! the decision. It never awaits I/O; calls to a store or a runtime are tasks on the I/O runtime, awaited by a
//! [`scope::Scope`].

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::too_many_lines))]

mod allocated;
mod backlog;
mod catalog;
mod debug;
mod directory;
mod effects;
mod error;
mod executor;
mod factory;
mod forwarding;
mod gauge;
mod group;
mod handle;
mod handlers;
mod incarnation;
mod lease;
mod lease_keeper;
mod messages;
mod metrics;
mod node;
mod node_counters;
mod notices;
mod operation_log;
mod order;
mod owner_status;
mod parts;
mod pieces;
mod ping_cache;
mod protections;
mod published;
mod restart;
mod scheduler;
mod scheduler_counters;
mod scope;
mod supervisor;
mod supervisor_messages;
mod survey;
mod taken;
mod threads;
mod throttle;
mod turn_trace;
mod turns;
mod waiter;
mod watch;
mod writer;
mod writer_event;
mod writer_inbox;

pub use catalog::{Catalog, Query};
pub use debug::{ActorView, DebugView};
pub use directory::{Directory, Location};
pub use error::{CallError, EventError};
pub use handle::{AskTimeouts, SchedulerHandle};
pub use metrics::{FleetReport, report_fleets};
pub use node::{Node, Nodes, Remembered};
pub use order::Order;
pub use parts::{ActorSettings, NodeParts};
