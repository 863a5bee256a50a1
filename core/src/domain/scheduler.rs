//! A scheduler: the recipe of one fleet of rooms (contract 2.3, 4, 8.1).
//!
//! The stored form of these types is in [`super::document`], their HTTP form in `codec` of the API.

use super::ids::SchedulerName;
use super::version::SchedulerVersion;
use super::words::{PolicyKind, RestartPolicy, SchedulerPhase, Surge};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    pub name: SchedulerName,
    pub game: String,
    pub state: SchedulerPhase,
    pub rollback_version: String,
    pub spec: Spec,
    pub autoscaling: Option<Autoscaling>,
    pub port_range: Option<PortRange>,
    pub rooms_replicas: i32,
    pub created_at: Timestamp,
    /// `None`: never.
    pub last_downscale_at: Option<Timestamp>,
    pub max_surge: Surge,
    pub forwarders: Vec<Forwarder>,
    /// `None` and empty differ: emptying them is a change (contract 4.2).
    pub annotations: Option<BTreeMap<String, String>>,
    pub labels: Option<BTreeMap<String, String>>,
    /// Absent in old documents, where it means one match (contract 8.1).
    pub match_allocation: Option<MatchAllocation>,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self {
            name: "".into(),
            game: String::new(),
            state: SchedulerPhase::default(),
            rollback_version: String::new(),
            spec: Spec::default(),
            autoscaling: None,
            port_range: None,
            rooms_replicas: 0,
            created_at: Timestamp::UNIX_EPOCH,
            last_downscale_at: None,
            max_surge: Surge::default(),
            forwarders: Vec::new(),
            annotations: None,
            labels: None,
            match_allocation: None,
        }
    }
}

impl Scheduler {
    /// How many matches one room takes at once; never less than one.
    pub fn max_matches(&self) -> i64 {
        self.match_allocation
            .map_or(1, |m| i64::from(m.max_matches).max(1))
    }
    pub fn version(&self) -> &SchedulerVersion {
        &self.spec.version
    }
}

/// What touches the room itself: the pod or the processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    pub version: SchedulerVersion,
    /// Nanoseconds (contract 5.5).
    pub termination_grace_period: i64,
    pub containers: Vec<Container>,
    pub toleration: String,
    pub affinity: String,
    pub restart_policy: RestartPolicy,
}

impl Spec {
    pub fn grace(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.termination_grace_period.max(0).unsigned_abs())
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub image_pull_policy: String,
    pub command: Vec<String>,
    pub environment: Vec<Environment>,
    pub requests: Resources,
    pub limits: Resources,
    pub ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    pub name: String,
    pub value: String,
    pub value_from: Option<ValueFrom>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueFrom {
    pub field_ref: Option<FieldRef>,
    pub secret_key_ref: Option<SecretKeyRef>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRef {
    pub field_path: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretKeyRef {
    pub name: String,
    pub key: String,
}

/// Kubernetes quantities as written, for example `100m` and `64Mi`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub memory: String,
    pub cpu: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerPort {
    pub name: String,
    /// `tcp`, `udp` or `sctp`, lower case.
    pub protocol: String,
    pub port: i32,
    pub host_port: i32,
    pub host_port_range: Option<PortRange>,
}

/// Host ports, both ends included (contract 4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    pub start: i32,
    pub end: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchAllocation {
    pub max_matches: i32,
}

impl Default for MatchAllocation {
    fn default() -> Self {
        Self { max_matches: 1 }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Autoscaling {
    pub enabled: bool,
    pub min: i32,
    /// -1: no limit.
    pub max: i32,
    /// Seconds between two scale-downs.
    pub cooldown: i32,
    pub policy: Policy,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub kind: PolicyKind,
    pub parameters: PolicyParameters,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyParameters {
    pub room_occupancy: Option<RoomOccupancy>,
    pub fixed_buffer: Option<FixedBuffer>,
}

/// Shares as the shortest decimal that was sent: a f32 of the wire is written out
/// and read back as f64, so that 0.3 stays 0.3 (D12).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoomOccupancy {
    pub ready_target: f64,
    pub down_threshold: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedBuffer {
    pub amount: i32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forwarder {
    pub name: String,
    pub enabled: bool,
    /// Only `gRPC` exists.
    pub forward_type: String,
    pub address: String,
    pub options: Option<ForwarderOptions>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForwarderOptions {
    /// Milliseconds.
    pub timeout: i64,
    pub metadata: Map<String, Value>,
}
