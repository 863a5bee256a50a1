//! Every message, declared once, in proto order: those of the `api.v1` services (contract 16), and in `operator` those
//! of our own package `maestro.v1`.

mod operations;
mod operator;
mod rooms;
mod schedulers;
mod shared;

pub use operations::*;
pub use operator::*;
pub use rooms::*;
pub use schedulers::*;
pub use shared::*;
