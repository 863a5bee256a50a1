//! Pings between nodes (`node/v1/pings.proto`): small frames on one stream for each pair of nodes, because a call each
//! would cost more than the ping itself.

mod line;
mod served;
pub mod wire;

pub use line::PingLine;
pub use served::Pings;

#[cfg(test)]
mod tests;
