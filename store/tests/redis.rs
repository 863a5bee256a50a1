//! The Redis half of the cluster store on a real server (contract 8.2).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "redis/connecting.rs"]
mod connecting;
#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/feed.rs"]
mod feed;
#[path = "redis/operations.rs"]
mod operations;
#[path = "redis/order.rs"]
mod order;
#[path = "redis/recorded.rs"]
mod recorded;
#[path = "redis/rooms.rs"]
mod rooms;
#[path = "redis/support.rs"]
mod support;
