//! The nouns of the field: what a scheduler, a room and an operation are.

mod ids;
mod operation;
mod room;
mod scheduler;
mod time;

pub use ids::*;
pub use operation::*;
pub use room::*;
pub use scheduler::*;
pub use time::*;
