//! The vocabulary of the domain: schedulers, rooms, operations, and their parts.

mod contents;
mod document;
mod ids;
mod live_version;
mod operation;
mod reason;
mod resume;
mod room;
mod room_record;
mod runtime_record;
mod scheduler;
mod time;
mod version;
mod words;

pub use ids::*;
pub use live_version::*;
pub use operation::*;
pub use reason::*;
pub use resume::*;
pub use room::*;
pub use room_record::*;
pub use runtime_record::*;
pub use scheduler::*;
pub use time::*;
pub use version::*;
pub use words::*;
