//! Asks for the addresses of nodes (contract 4.7): for many together, since each call is one that no room is created
//! with. A process that starts in a cluster of a thousand nodes needs all of them at once.

use super::client::{Failure, nodes};
use super::limiter::Urgency;
use super::lookup::Lookup;
use super::nodes::address;
use super::seen::SeenPod;
use futures_util::FutureExt;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::core::ObjectList;
use maestro_core::ports::RuntimeError;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How long a new list waits for the addresses of its nodes.
const NODES_WAIT: Duration = Duration::from_secs(10);
/// How long nodes that pods are bound to are gathered: less than any pod takes to become ready.
const GATHER: Duration = Duration::from_millis(100);
/// So many are listed; fewer are asked for one by one.
const MANY: usize = 3;
/// A list ends after so many nodes for each that is wanted: a cluster may have thousands for other work, and a node is
/// a large object.
const READ_FOR_ONE: usize = 4;
/// When an account that may read nodes and not list them tries again: it may have been given the right, and an API
/// server that starts does not know all rights yet.
const LIST_AGAIN: Duration = Duration::from_secs(60);
/// Nodes in one page of a list.
const PAGE: usize = 500;

impl Lookup {
    /// Asks soon for the nodes whose address is not known, and for those together that become known until then.
    pub fn ask_for_nodes(&self) {
        if self.asking.is_gathering.swap(true, Ordering::Relaxed) {
            return;
        }
        let lookup = self.clone();
        self.spawn(async move {
            tokio::time::sleep(GATHER).await;
            lookup.asking.is_gathering.store(false, Ordering::Relaxed);
            lookup.nodes(lookup.index.nodes_to_ask()).await;
        });
    }

    /// Waits for the addresses of these pods' nodes: rooms that were ready before must not lose theirs to a list. Nodes
    /// that do not answer in time follow.
    pub async fn nodes_of(&self, pods: &[SeenPod]) {
        let wanted = self.index.nodes_to_ask_for(pods);
        let lookup = self.clone();
        let asked = async move { lookup.nodes(wanted).await };
        let asked = self.calls.io().spawn(asked);
        let _ = tokio::time::timeout(NODES_WAIT, asked).await;
    }

    async fn nodes(&self, wanted: Vec<Arc<str>>) {
        let mut wanted: HashSet<Arc<str>> = wanted.into_iter().collect();
        let refused = *self.asking.list_refused.lock();
        let may_list = refused.is_none_or(|at| at.elapsed() >= LIST_AGAIN);
        if wanted.len() >= MANY && may_list {
            self.listed(&mut wanted).await;
        }
        let each = wanted.into_iter().map(|node| self.node(node));
        join_all(each).map(drop).await;
    }

    /// Takes those out of `wanted` that are answered for.
    async fn listed(&self, wanted: &mut HashSet<Arc<str>>) {
        let mut left = wanted.len() * READ_FOR_ONE;
        let mut after = None;
        while left > 0 && !wanted.is_empty() {
            let size = left.min(PAGE);
            let page = match self.page(size, after).await {
                Ok(page) => page,
                Err(failure) if failure.is_right_missing() => {
                    *self.asking.list_refused.lock() = Some(Instant::now());
                    return;
                }
                Err(failure) => {
                    let error = RuntimeError::from(failure);
                    let count = wanted.len();
                    tracing::warn!(count, %error, "the addresses of nodes cannot be looked up");
                    for node in wanted.drain() {
                        self.index.learn_node(&node, None);
                    }
                    return;
                }
            };
            for found in page.items {
                let name = found.metadata.name.as_deref().unwrap_or_default();
                if let Some(node) = wanted.take(name) {
                    self.learn(&node, &found);
                }
            }
            after = page.metadata.continue_.filter(|token| !token.is_empty());
            if after.is_none() {
                return;
            }
            left -= size;
        }
    }

    async fn page(&self, size: usize, after: Option<String>) -> Result<ObjectList<Node>, Failure> {
        let mut some = ListParams::default().limit(u32::try_from(size).unwrap_or(u32::MAX));
        some.continue_token = after;
        let call = move |client| {
            let some = some.clone();
            async move { nodes(client).list(&some).await }
        };
        // Nodes belong to no scheduler: they have a queue of their own.
        self.calls.run(&"".into(), Urgency::Normal, call).await
    }

    async fn node(&self, node: Arc<str>) {
        let name = node.clone();
        let call = move |client| {
            let name = name.clone();
            async move { nodes(client).get(&name).await }
        };
        match self.calls.run(&"".into(), Urgency::Normal, call).await {
            Ok(found) => self.learn(&node, &found),
            Err(failure) => {
                let error = RuntimeError::from(failure);
                tracing::warn!(%node, %error, "the node's address cannot be looked up");
                self.index.learn_node(&node, None);
            }
        }
    }

    fn learn(&self, node: &Arc<str>, found: &Node) {
        let host = address(found).map(Arc::from);
        if host.is_none() {
            tracing::warn!(%node, "the node has no address that players could use");
        }
        self.index.learn_node(node, host);
    }
}
