//! A scheduler: the recipe of one fleet of rooms (contract 2.3, 4, 8.1).
//!
//! The serde form of these types is the stored document of the contract: Go field
//! names, durations in nanoseconds (contract 5.5). The HTTP form lives in the codec.

use super::ids::SchedulerName;
use super::version::SchedulerVersion;
use super::words::{PolicyKind, RestartPolicy, SchedulerPhase, Surge};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
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
    pub last_downscale_at: GoTime,
    pub max_surge: Surge,
    #[serde(deserialize_with = "null_as_default")]
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
            last_downscale_at: GoTime::default(),
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

/// A moment that the original's documents write as year one when it is unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoTime(pub Option<Timestamp>);

const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";

impl Serialize for GoTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(at) => at.serialize(serializer),
            None => serializer.serialize_str(GO_ZERO_TIME),
        }
    }
}

impl<'de> Deserialize<'de> for GoTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        if text.is_empty() || text.starts_with("0001-01-01T") {
            return Ok(Self(None));
        }
        text.parse()
            .map(|at| Self(Some(at)))
            .map_err(serde::de::Error::custom)
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An empty list of a container is written as the original writes it (contract 15.25).
fn empty_as_null<S, T>(list: &[T], serializer: S) -> Result<S::Ok, S::Error>
where
    S: serde::Serializer,
    T: Serialize,
{
    if list.is_empty() {
        return serializer.serialize_none();
    }
    list.serialize(serializer)
}

/// What touches the room itself: the pod or the processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Spec {
    pub version: SchedulerVersion,
    /// Nanoseconds (contract 5.5).
    pub termination_grace_period: i64,
    #[serde(deserialize_with = "null_as_default")]
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub image_pull_policy: String,
    #[serde(deserialize_with = "null_as_default", serialize_with = "empty_as_null")]
    pub command: Vec<String>,
    #[serde(deserialize_with = "null_as_default", serialize_with = "empty_as_null")]
    pub environment: Vec<Environment>,
    pub requests: Resources,
    pub limits: Resources,
    #[serde(deserialize_with = "null_as_default", serialize_with = "empty_as_null")]
    pub ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Environment {
    pub name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub value: String,
    pub value_from: Option<ValueFrom>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ValueFrom {
    pub field_ref: Option<FieldRef>,
    pub secret_key_ref: Option<SecretKeyRef>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldRef {
    pub field_path: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretKeyRef {
    pub name: String,
    pub key: String,
}

/// Kubernetes quantities as written, for example `100m` and `64Mi`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    #[serde(rename = "Memory")]
    pub memory: String,
    #[serde(rename = "CPU")]
    pub cpu: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerPort {
    pub name: String,
    /// `tcp`, `udp` or `sctp`, lower case.
    pub protocol: String,
    pub port: i32,
    pub host_port: i32,
    pub host_port_range: Option<PortRange>,
}

/// Host ports, both ends included (contract 4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortRange {
    pub start: i32,
    pub end: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MatchAllocation {
    pub max_matches: i32,
}

impl Default for MatchAllocation {
    fn default() -> Self {
        Self { max_matches: 1 }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Autoscaling {
    pub enabled: bool,
    pub min: i32,
    /// -1: no limit.
    pub max: i32,
    /// Seconds between two scale-downs.
    pub cooldown: i32,
    pub policy: Policy,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Policy {
    #[serde(rename = "Type")]
    pub kind: PolicyKind,
    pub parameters: PolicyParameters,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PolicyParameters {
    pub room_occupancy: Option<RoomOccupancy>,
    pub fixed_buffer: Option<FixedBuffer>,
}

/// Shares as the shortest decimal that was sent: a f32 of the wire is written out
/// and read back as f64, so that 0.3 stays 0.3 (D12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RoomOccupancy {
    pub ready_target: f64,
    pub down_threshold: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FixedBuffer {
    pub amount: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Forwarder {
    pub name: String,
    pub enabled: bool,
    /// Only `gRPC` exists.
    pub forward_type: String,
    pub address: String,
    pub options: Option<ForwarderOptions>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ForwarderOptions {
    /// Milliseconds.
    pub timeout: i64,
    #[serde(deserialize_with = "null_as_default")]
    pub metadata: Map<String, Value>,
}
