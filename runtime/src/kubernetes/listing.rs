//! The rooms that a cluster has, for reports: whoever only looks needs no watch.

use super::client::{self, Failure};
use super::labels;
use super::settings::{KubernetesSettings, OpenError};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use maestro_core::domain::{RoomId, SchedulerName};
use maestro_core::ports::RuntimeError;

/// Pods of one answer.
const PAGE: u32 = 500;

/// Why the rooms of a cluster cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cluster cannot be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The API server did not answer with a list.
    #[error("the pods of rooms cannot be listed: {0}")]
    List(RuntimeError),
}

/// All pods with Maestro's label, whoever made them, also those that have ended: their objects are there.
///
/// # Errors
/// If the API server cannot be reached or does not let this process list pods.
pub async fn all_rooms(
    settings: &KubernetesSettings,
) -> Result<Vec<(SchedulerName, RoomId)>, ListError> {
    let pods: Api<Pod> = Api::all(client::plain(settings).await?);
    let mut wanted = ListParams::default().labels(labels::OUR_PODS).limit(PAGE);
    let mut rooms = Vec::new();
    loop {
        let page = pods.list_metadata(&wanted).await;
        let page = page.map_err(|error| ListError::List(Failure::Answer(error).into()))?;
        rooms.extend(page.items.into_iter().filter_map(|pod| {
            let (namespace, name) = (pod.metadata.namespace?, pod.metadata.name?);
            Some((namespace.into(), name.into()))
        }));
        wanted.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if wanted.continue_token.is_none() {
            return Ok(rooms);
        }
    }
}
