//! How far a runtime is, as the platform shows it.

use super::Node;
use crate::error::CallError;
use jiff::Timestamp;
use maestro_core::ports::{PlatformError, RuntimeCondition};
use std::time::Duration;

/// Time limit for one look.
const LOOK_MAX: Duration = Duration::from_secs(15);

impl Node {
    /// What a runtime needs, and whether it has it. It is asked on the node that owns the name, which made it.
    ///
    /// # Errors
    /// If the platform does not answer in time; the inner error is the platform's own.
    pub async fn runtime_status(
        &self,
        name: &str,
    ) -> Result<Result<Vec<RuntimeCondition>, PlatformError>, CallError> {
        let (platform, of) = (self.parts.platform.clone(), name.into());
        let look = async move { platform.runtime_status(&of).await };
        let look = tokio::time::timeout(LOOK_MAX, look);
        // Clients of a platform must be used on the I/O runtime.
        let looked = self.parts.tasks.spawn_on(look, &self.parts.io).await;
        match looked {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(_)) => Err(CallError::Timeout(name.to_owned())),
            Err(_) => Err(CallError::ShuttingDown),
        }
    }

    /// How long ago that was on the clock that stored it; zero if it is not over.
    pub fn since(&self, then: Timestamp) -> Duration {
        let passed = self.parts.clock.now().wall.duration_since(then);
        Duration::try_from(passed).unwrap_or_default()
    }
}
