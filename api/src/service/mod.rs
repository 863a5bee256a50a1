//! The services: they answer the calls by asking the actors of a node. No rule about fleets lives here; those are the
//! core's, applied by the owner of the scheduler.

mod late;
mod management;
mod rooms;

pub use management::ManagementService;
pub use rooms::RoomsService;
