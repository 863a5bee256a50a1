//! Every message, declared once, in proto order: those of the `api.v1` services (contract 16), and in `operator` those
//! of our own package `maestro.v1`. Those of the K8s manager have a module for each package.

mod operations;
mod operator;
pub mod resourcemetrics;
mod rooms;
pub mod runtime;
mod schedulers;
mod shared;
pub mod version;

pub use operations::*;
pub use operator::*;
pub use rooms::*;
pub use schedulers::*;
pub use shared::*;
