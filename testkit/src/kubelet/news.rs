//! What the task of a pod hears.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

/// What has become of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeState {
    Up,
    /// Processes go on.
    CutOff,
    /// There are no processes.
    Dead,
}

/// The present state of what a pod depends on.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) pod: Arc<Pod>,
    pub(super) node: NodeState,
    /// There is no such object any more.
    pub(super) is_gone: bool,
}

impl News {
    /// Whether nothing follows. A node that is cut off hears later that the object is gone.
    pub(super) fn is_last(&self) -> bool {
        self.is_gone && self.node != NodeState::CutOff
    }
}
