//! The APIs over the real actors of one node, with a store and a runtime in memory.

#[path = "service/fleet.rs"]
mod fleet;
#[path = "service/internal.rs"]
mod internal;
#[path = "service/management.rs"]
mod management;
#[path = "service/rooms.rs"]
mod rooms;
