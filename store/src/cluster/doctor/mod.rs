//! Looks for drift between the two stores, mends what is safe, and hands an installation back to the original.
//!
//! What is read (`facts`), what it means (`compare`, and `runtime` for the rooms that run) and what is done about it
//! (`repair`) are separate. Rooms that run are only reported: their owner compares them with its rows and acts, when it
//! takes its scheduler over (architecture 5).

mod compare;
mod facts;
mod finding;
mod hand_back;
mod repair;
mod runtime;

pub use facts::Facts;
pub use finding::{Finding, Kind, Remedy};
pub use hand_back::{HandBackError, HandedBack};
pub use repair::{Outcome, Treated};
pub use runtime::{Place, Runtime};

use crate::cluster::ClusterStore;
use maestro_core::ports::StoreError;

impl ClusterStore {
    /// Everything that does not fit together, and with `runtime` the rooms that run. Changes nothing, and may run while
    /// the fleet does.
    ///
    /// # Errors
    /// If one of the stores cannot be read.
    pub async fn examine(&self, runtime: Option<&Runtime>) -> Result<Vec<Finding>, StoreError> {
        Ok(compare::compare(&self.facts().await?, runtime))
    }
}
