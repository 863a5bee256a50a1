//! A platform that makes runtimes in memory, and can wait, fail or not get ready.

use super::Gate;
use async_trait::async_trait;
use maestro_core::domain::{OperationId, SchedulerName};
use maestro_core::ports::{PlatformError, PlatformObjects, Prepared, RuntimeCondition, Shown};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Default)]
pub struct FakePlatform {
    gate: Mutex<Option<Gate>>,
    fails: Mutex<Option<PlatformError>>,
    unready: Mutex<bool>,
    made: Mutex<BTreeSet<SchedulerName>>,
    shown: Mutex<Arc<Shown>>,
}

impl FakePlatform {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Every call waits at this gate from now on.
    pub fn hold(&self, gate: &Gate) {
        *self.gate.lock() = Some(gate.clone());
    }

    /// Every call fails from now on, or none does.
    pub fn fail(&self, error: Option<PlatformError>) {
        *self.fails.lock() = error;
    }

    /// Runtimes are not ready from now on, or are.
    pub fn unready(&self, unready: bool) {
        *self.unready.lock() = unready;
    }

    /// The names that it has made runtimes for.
    pub fn made(&self) -> Vec<String> {
        let made = self.made.lock();
        made.iter().map(ToString::to_string).collect()
    }

    /// What it shows of the scheduler that was shown last.
    pub fn shown(&self) -> Arc<Shown> {
        self.shown.lock().clone()
    }

    async fn pass(&self) -> Result<(), PlatformError> {
        let gate = self.gate.lock().clone();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        self.fails.lock().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl PlatformObjects for FakePlatform {
    async fn ensure_runtime(
        &self,
        name: &SchedulerName,
        _: OperationId,
    ) -> Result<Prepared, PlatformError> {
        self.pass().await?;
        let created = self.made.lock().insert(name.clone());
        Ok(Prepared { created })
    }

    async fn runtime_status(
        &self,
        name: &SchedulerName,
    ) -> Result<Vec<RuntimeCondition>, PlatformError> {
        self.pass().await?;
        let condition = |name, holds, text: String| RuntimeCondition { name, holds, text };
        let is_made = self.made.lock().contains(name);
        let is_ready = !*self.unready.lock();
        Ok(vec![
            condition("Namespace", is_made, format!("the namespace {name}")),
            condition("Operator", is_ready, "its pod".to_owned()),
        ])
    }

    async fn show(&self, _: &SchedulerName, shown: Arc<Shown>) -> Result<(), PlatformError> {
        self.pass().await?;
        *self.shown.lock() = shown;
        Ok(())
    }
}
