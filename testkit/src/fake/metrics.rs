//! A source of metrics that knows the same of every version at every time, and can fail.

use async_trait::async_trait;
use maestro_core::ports::{Alert, Measured, MetricsError, MetricsSource, Usage, Window};
use parking_lot::Mutex;
use std::sync::Arc;

/// What each version uses: the figures of pods of known size.
pub const CORES: f64 = 0.35;
/// As [`CORES`].
pub const BYTES: f64 = 150_000_000.0;

#[derive(Default)]
pub struct FakeMetrics {
    fails: Mutex<Option<MetricsError>>,
    asked: Mutex<Vec<(Measured, Window)>>,
}

impl FakeMetrics {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Every question fails from now on, or none does.
    pub fn fail(&self, error: Option<MetricsError>) {
        *self.fails.lock() = error;
    }

    /// The questions for usage so far.
    pub fn asked(&self) -> Vec<(Measured, Window)> {
        self.asked.lock().clone()
    }
}

#[async_trait]
impl MetricsSource for FakeMetrics {
    async fn usage(&self, of: &Measured, window: Window) -> Result<Vec<Usage>, MetricsError> {
        self.asked.lock().push((of.clone(), window));
        if let Some(error) = self.fails.lock().clone() {
            return Err(error);
        }
        let each = window.times().map(|at| Usage {
            at,
            cores: CORES,
            bytes: BYTES,
        });
        Ok(each.collect())
    }

    async fn alerts(&self, of: &Measured) -> Result<Vec<Alert>, MetricsError> {
        if let Some(error) = self.fails.lock().clone() {
            return Err(error);
        }
        Ok(vec![Alert {
            name: "RoomsBusy".into(),
            state: "firing".into(),
            severity: "warning".into(),
            summary: "rooms are busy".into(),
            active_at: "2026-01-02T03:04:05Z".parse().ok(),
            labels: [("namespace".to_owned(), of.scheduler.to_string())].into(),
        }])
    }
}
