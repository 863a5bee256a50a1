//! What is kept of a pod: a pod of the API server is several thousand bytes, and ten thousand of them are watched.

use super::dead::Ending;
use super::{labels, status, trouble};
use k8s_openapi::api::core::v1::Pod;
use maestro_core::domain::*;
use std::net::IpAddr;
use std::sync::Arc;

/// A pod as it was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenPod {
    /// Its namespace.
    pub scheduler: SchedulerName,
    /// Without its address, which depends on its node.
    pub instance: Instance,
    /// `None` until it is bound.
    pub node: Option<Arc<str>>,
    /// Where its node is; `None` until its kubelet has told.
    pub host_ip: Option<IpAddr>,
    /// As players see them.
    pub ports: Arc<[Port]>,
    /// Whether the disruption budget selects it.
    pub protected: bool,
    /// Whether cluster autoscalers may not move it, protected or not: its scheduler says so.
    pub pinned: bool,
    /// None of its containers will run again.
    pub has_ended: bool,
    /// How it ended, if it did.
    pub exit: Option<Exit>,
    /// Set once it is deleted: its object is there until its kubelet has ended it.
    pub ending: Option<Ending>,
}

impl SeenPod {
    /// `None` for an object without name, namespace or uid, which is no pod of an API server.
    pub fn of(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let label = |name: &str| meta.labels.as_ref()?.get(name);
        let is_annotated = |name: &str, value: &str| {
            let found = meta.annotations.as_ref().and_then(|all| all.get(name));
            found.is_some_and(|found| found == value)
        };
        let protected = label(labels::PROTECTED).is_some_and(|value| value == "true");
        // Whose pods have no such mark, as those of the Go Maestro.
        let is_foreign = label(labels::VERSION_NAME).is_none();
        let may_not_move = || is_annotated(labels::SAFE_TO_EVICT, "false");
        let version = meta.resource_version.as_deref().unwrap_or_default();
        let seen = status::observe(pod);
        let spec = pod.spec.as_ref();
        let told = pod.status.as_ref();
        Some(Self {
            scheduler: meta.namespace.as_deref()?.into(),
            instance: Instance {
                room: meta.name.as_deref()?.into(),
                uid: meta.uid.clone()?,
                version: label(labels::VERSION)
                    .map(String::as_str)
                    .unwrap_or_default()
                    .into(),
                validation: is_annotated(labels::VALIDATION, "true"),
                status: seen.status,
                description: seen.description,
                restarting: seen.restarting,
                trouble: trouble::of(pod),
                address: None,
                resource_version: version.parse().unwrap_or(0),
            },
            node: spec
                .and_then(|spec| spec.node_name.as_deref())
                .map(Into::into),
            host_ip: told.and_then(|told| told.host_ip.as_deref()?.parse().ok()),
            ports: ports(pod).into(),
            protected,
            pinned: is_annotated(labels::PINNED, "true")
                || (is_foreign && !protected && may_not_move()),
            has_ended: status::has_ended(pod),
            exit: status::exit(pod),
            ending: meta.deletion_timestamp.as_ref().map(|by| Ending {
                by: by.0,
                is_ready: status::is_ready(pod),
            }),
        })
    }

    /// The numbers of its host ports: none once it has ended, when kube-scheduler gives them to other pods.
    pub fn host_ports(&self) -> Arc<[u16]> {
        self.numbers().filter(|_| !self.has_ended).collect()
    }

    /// The numbers of the host ports that it has, or had.
    pub fn numbers(&self) -> impl Iterator<Item = u16> {
        let ports = self.ports.iter();
        ports.filter_map(|port| u16::try_from(port.port).ok())
    }
}

/// All container ports with a host port (contract 4.7).
fn ports(pod: &Pod) -> Vec<Port> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let with_host_port = ports.filter_map(|port| {
        Some(Port {
            name: port.name.clone().unwrap_or_default(),
            port: port.host_port.filter(|number| *number != 0)?,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        })
    });
    with_host_port.collect()
}
