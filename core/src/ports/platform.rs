//! What a platform shows of a runtime beside its rooms: the rights in its place, its operator, the configurations of
//! its versions, and where the published version is reached (architecture 7, Objects of a runtime).

use super::Prepared;
use crate::domain::*;
use async_trait::async_trait;
use std::sync::Arc;

/// Why the objects of a runtime cannot be written or read. The text is a complete sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PlatformError {
    /// What the caller can do about it.
    pub fault: PlatformFault,
    /// What happened, and what to do.
    pub text: String,
}

impl PlatformError {
    /// An error of this kind.
    pub fn new(fault: PlatformFault, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { fault, text }
    }
}

/// A port of the published version's rooms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    /// As the spec says it: `tcp` or `udp`.
    pub protocol: String,
    /// The container's port.
    pub port: u16,
}

/// The version that is reached by the name of the runtime, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version.
    pub version: SchedulerVersion,
    /// Each once, in order.
    pub ports: Vec<ServicePort>,
}

/// The configuration of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionConfig {
    /// The version.
    pub version: SchedulerVersion,
    /// How often the configuration was replaced.
    pub revision: u64,
    /// All pairs.
    pub pairs: ConfigPairs,
}

/// What the platform is to show of one scheduler. Objects of ours that it does not name are removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Whether the runtime was created by itself: then its rights, its operator and its custom resource are kept too.
    pub is_runtime: bool,
    /// `None`: no version is published, and none is reached by the name of the runtime.
    pub published: Option<Published>,
    /// Of each version that has rooms or is getting them, in order.
    pub configs: Vec<VersionConfig>,
}

/// Something that a runtime needs, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeCondition {
    /// What is looked at, such as `Namespace`.
    pub name: &'static str,
    /// Whether it is as it has to be.
    pub holds: bool,
    /// What is seen, for people.
    pub text: String,
}

/// Writes and reads the objects of runtimes. Every call can be repeated, and writes nothing that is as it should be.
/// Dropping a call cancels it.
#[async_trait]
pub trait PlatformObjects: Send + Sync + 'static {
    /// Makes the place of a runtime with the rights in it, its operator and its custom resource, or whatever of them is
    /// missing. What `operation` created is recognized as for [`super::Runtime::prepare`].
    ///
    /// # Errors
    /// [`PlatformFault::Terminating`] while an earlier place is being removed; the others as they are.
    async fn ensure_runtime(
        &self,
        name: &SchedulerName,
        operation: OperationId,
    ) -> Result<Prepared, PlatformError>;
    /// How far a runtime is: it is ready when all conditions hold.
    ///
    /// # Errors
    /// If the platform cannot be asked.
    async fn runtime_status(
        &self,
        name: &SchedulerName,
    ) -> Result<Vec<RuntimeCondition>, PlatformError>;
    /// Makes the platform show this and nothing else. Which version is published changes in one step. The order is
    /// whole, so that whoever carries it out finds what earlier orders, lost ones among them, left behind.
    ///
    /// # Errors
    /// As they are; what was written stays, and the same order is repeated.
    async fn show(&self, name: &SchedulerName, shown: Arc<Shown>) -> Result<(), PlatformError>;
}

/// Shows nothing: the rooms are simulated, or are elsewhere. A runtime cannot be made by itself here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unshown;

fn refusal() -> PlatformError {
    PlatformError::new(
        PlatformFault::Invalid,
        "the rooms of this process have no runtime that could be made by itself: see runtime.type",
    )
}

#[async_trait]
impl PlatformObjects for Unshown {
    async fn ensure_runtime(
        &self,
        _: &SchedulerName,
        _: OperationId,
    ) -> Result<Prepared, PlatformError> {
        Err(refusal())
    }
    async fn runtime_status(
        &self,
        _: &SchedulerName,
    ) -> Result<Vec<RuntimeCondition>, PlatformError> {
        Err(refusal())
    }
    async fn show(&self, _: &SchedulerName, _: Arc<Shown>) -> Result<(), PlatformError> {
        Ok(())
    }
}
