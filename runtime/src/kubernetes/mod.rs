//! Rooms as pods: one namespace for each scheduler, one pod for each room (contract 4.5–4.10).
//!
//! Calls go through one client with one rate limit that is fair among schedulers. One watch of all pods feeds the
//! watchers of each scheduler and the index of host ports. This adapter decides nothing about rooms: it tells what is,
//! and does what it is told.

mod addresses;
mod budget;
mod budget_object;
mod client;
mod dead;
mod events;
mod failure;
mod follower;
mod hand_back;
mod index;
mod labels;
mod limiter;
mod listing;
mod lookup;
mod namespace;
mod nodes;
mod operator;
mod platform;
mod pod;
mod ports;
mod preflight;
mod rooms;
mod runtime;
mod seen;
mod server_clock;
mod settings;
mod status;
mod trouble;
mod watch;

pub use hand_back::{HandBackError, hand_back};
pub use limiter::CallCounts;
pub use listing::{ListError, all_rooms};
pub use operator::Operator;
pub use preflight::{Check, Verdict, preflight};
pub use runtime::KubernetesRuntime;
pub use settings::{
    Access, KubernetesSettings, OpenError, OperatorImage, PlatformSettings, PodDefaults,
    TopologySpread, security_context,
};
