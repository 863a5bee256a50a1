//! A placeholder for systems without pidfd and /proc. It cannot be constructed.

use super::{OpenError, ProcessSettings, RoomProcess};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use maestro_core::{domain::*, ports::*};
use std::{convert::Infallible, ffi::OsString, io, process::ExitCode, sync::Arc, time::Duration};

pub struct ProcessRuntime(Infallible);

impl ProcessRuntime {
    pub fn open(_: ProcessSettings) -> Result<Arc<Self>, OpenError> {
        Err(OpenError::UnsupportedSystem)
    }
    pub fn runtime_domain(&self) -> String {
        match self.0 {}
    }
    pub fn platform(&self) -> Arc<dyn PlatformObjects> {
        match self.0 {}
    }
    pub async fn shutdown(&self) {
        match self.0 {}
    }
}

/// There are no rooms, so there are no logs.
pub fn write_log(_: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    None
}

pub fn hear_of_children() {}

pub fn unblock_signals() {}

pub fn survive_file_limits() {}

/// Always empty.
pub fn room_processes(_: &str) -> io::Result<Vec<RoomProcess>> {
    Ok(Vec::new())
}

/// Removes a folder; rooms cannot have changed it here.
///
/// # Errors
/// As the standard library says.
pub fn remove_tree(path: &std::path::Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}

/// # Errors
/// Never.
pub fn kill_room_processes(_: &str) -> io::Result<usize> {
    Ok(0)
}

#[async_trait]
impl MetricsSource for ProcessRuntime {
    async fn usage(&self, _: &Measured, _: Window) -> Result<Vec<Usage>, MetricsError> {
        match self.0 {}
    }
    async fn alerts(&self, _: &Measured) -> Result<Vec<Alert>, MetricsError> {
        match self.0 {}
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn prepare(&self, _: &Scheduler, _: OperationId) -> Result<Prepared, RuntimeError> {
        match self.0 {}
    }
    async fn remove(&self, _: &SchedulerName, _: Option<OperationId>) -> Result<(), RuntimeError> {
        match self.0 {}
    }
    async fn reserve_ports(&self, _: &RoomId, _: &Scheduler) -> Result<Arc<[u16]>, RuntimeError> {
        match self.0 {}
    }
    async fn release_ports(&self, _: &RoomId) {
        match self.0 {}
    }
    async fn create(&self, _: &RoomOrder) -> Result<Instance, RuntimeError> {
        match self.0 {}
    }
    async fn terminate(
        &self,
        _: &SchedulerName,
        _: &RoomId,
        _: Option<&str>,
        _: Duration,
        _: RemovalReason,
    ) -> Result<(), RuntimeError> {
        match self.0 {}
    }
    fn watch(&self, _: &SchedulerName) -> BoxStream<'static, RuntimeEvent> {
        match self.0 {}
    }
    async fn log_tail(
        &self,
        _: &SchedulerName,
        _: &RoomId,
        _: usize,
    ) -> Result<Vec<String>, RuntimeError> {
        match self.0 {}
    }
}
