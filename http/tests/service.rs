//! The APIs over the real actors of one node, with a store and a runtime in memory.

#[path = "service/connections.rs"]
mod connections;
#[path = "service/edits.rs"]
mod edits;
#[path = "service/fleet.rs"]
mod fleet;
#[path = "service/internal.rs"]
mod internal;
#[path = "service/limits.rs"]
mod limits;
#[path = "service/management.rs"]
mod management;
#[path = "service/pings.rs"]
mod pings;
#[path = "service/resources.rs"]
mod resources;
#[path = "service/rooms.rs"]
mod rooms;
#[path = "service/runtimes.rs"]
mod runtimes;
#[path = "service/versions.rs"]
mod versions;
#[path = "service/wire.rs"]
mod wire;
