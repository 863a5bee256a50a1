//! Rooms of which nothing is measured here.

use async_trait::async_trait;
use maestro_core::ports::{Alert, Measured, MetricsError, MetricsSource, Usage, Window};

/// Refuses every question, for a reason.
pub struct Unmeasured(pub &'static str);

#[async_trait]
impl MetricsSource for Unmeasured {
    async fn usage(&self, _: &Measured, _: Window) -> Result<Vec<Usage>, MetricsError> {
        Err(MetricsError::Unprepared(self.0.to_owned()))
    }

    async fn alerts(&self, _: &Measured) -> Result<Vec<Alert>, MetricsError> {
        Err(MetricsError::Unprepared(self.0.to_owned()))
    }
}
