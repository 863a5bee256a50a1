//! Every message of the `api.v1` services, declared once (contract 16), in proto order.

mod operations;
mod rooms;
mod schedulers;
mod shared;

pub use operations::*;
pub use rooms::*;
pub use schedulers::*;
pub use shared::*;
