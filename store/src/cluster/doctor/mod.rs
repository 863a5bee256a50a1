//! Looks for drift between the two stores, mends what is safe, and hands an installation back to the original.
//!
//! What is read (`facts`), what it means (`compare`) and what is done about it (`repair`) are separate. Rooms that run
//! are compared with the rows by each owner itself, when it takes its scheduler over (architecture 5).

mod compare;
mod facts;
mod hand_back;
mod repair;

pub use compare::{Finding, Kind, Remedy};
pub use hand_back::{HandBackError, HandedBack};
pub use repair::{Outcome, Treated};

use crate::cluster::ClusterStore;
use maestro_core::ports::StoreError;

impl ClusterStore {
    /// Everything that does not fit together. Changes nothing, and may run while the fleet does.
    ///
    /// # Errors
    /// If one of the stores cannot be read.
    pub async fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        Ok(compare::compare(&self.facts().await?))
    }
}
