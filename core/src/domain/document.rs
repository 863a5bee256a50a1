//! The stored document of a scheduler in the contract's form (contract 5.5, 8.1): Go field names, durations in
//! nanoseconds, and the original's representation of absent values.
//!
//! Each type here mirrors one of [`super::scheduler`], with its fields in the order of the document. Nothing else knows
//! this form. A field that is added there but not here fails to compile.

use super::ids::SchedulerName;
use super::scheduler::{
    Autoscaling, Container, ContainerPort, Environment, FieldRef, FixedBuffer, Forwarder,
    ForwarderOptions, MatchAllocation, Policy, PolicyParameters, PortRange, Resources,
    RoomOccupancy, Scheduler, SecretKeyRef, Spec, ValueFrom,
};
use super::version::SchedulerVersion;
use super::words::{PolicyKind, RestartPolicy, SchedulerPhase, Surge};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Serializes and deserializes domain types as their documents.
macro_rules! stored_as {
    ($($name:ident as $document:ident,)+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $document::serialize(self, serializer)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $document::deserialize(deserializer)
            }
        }
    )+};
}

stored_as! {
    Scheduler as SchedulerDocument,
    Spec as SpecDocument,
    Container as ContainerDocument,
    Environment as EnvironmentDocument,
    ValueFrom as ValueFromDocument,
    FieldRef as FieldRefDocument,
    SecretKeyRef as SecretKeyRefDocument,
    Resources as ResourcesDocument,
    ContainerPort as ContainerPortDocument,
    PortRange as PortRangeDocument,
    MatchAllocation as MatchAllocationDocument,
    Autoscaling as AutoscalingDocument,
    Policy as PolicyDocument,
    PolicyParameters as PolicyParametersDocument,
    RoomOccupancy as RoomOccupancyDocument,
    FixedBuffer as FixedBufferDocument,
    Forwarder as ForwarderDocument,
    ForwarderOptions as ForwarderOptionsDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Scheduler",
    rename_all = "PascalCase",
    default = "Scheduler::default"
)]
struct SchedulerDocument {
    name: SchedulerName,
    game: String,
    state: SchedulerPhase,
    rollback_version: String,
    spec: Spec,
    autoscaling: Option<Autoscaling>,
    port_range: Option<PortRange>,
    rooms_replicas: i32,
    created_at: Timestamp,
    #[serde(with = "go_time")]
    last_downscale_at: Option<Timestamp>,
    max_surge: Surge,
    forwarders: Option<Vec<Forwarder>>,
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    match_allocation: Option<MatchAllocation>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Spec", rename_all = "PascalCase", default = "Spec::default")]
struct SpecDocument {
    version: SchedulerVersion,
    termination_grace_period: i64,
    #[serde(deserialize_with = "null_as_default")]
    containers: Vec<Container>,
    toleration: String,
    affinity: String,
    restart_policy: RestartPolicy,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Container",
    rename_all = "PascalCase",
    default = "Container::default"
)]
struct ContainerDocument {
    name: String,
    image: String,
    image_pull_policy: String,
    #[serde(deserialize_with = "null_as_default", serialize_with = "empty_as_null")]
    command: Vec<String>,
    #[serde(deserialize_with = "null_as_default", serialize_with = "empty_as_null")]
    environment: Vec<Environment>,
    requests: Resources,
    limits: Resources,
    #[serde(deserialize_with = "null_as_default", serialize_with = "empty_as_null")]
    ports: Vec<ContainerPort>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Environment",
    rename_all = "PascalCase",
    default = "Environment::default"
)]
struct EnvironmentDocument {
    name: String,
    #[serde(deserialize_with = "null_as_default")]
    value: String,
    value_from: Option<ValueFrom>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "ValueFrom",
    rename_all = "PascalCase",
    default = "ValueFrom::default"
)]
struct ValueFromDocument {
    field_ref: Option<FieldRef>,
    secret_key_ref: Option<SecretKeyRef>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "FieldRef",
    rename_all = "camelCase",
    default = "FieldRef::default"
)]
struct FieldRefDocument {
    field_path: String,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "SecretKeyRef",
    rename_all = "camelCase",
    default = "SecretKeyRef::default"
)]
struct SecretKeyRefDocument {
    name: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Resources", default = "Resources::default")]
struct ResourcesDocument {
    #[serde(rename = "Memory")]
    memory: String,
    #[serde(rename = "CPU")]
    cpu: String,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "ContainerPort",
    rename_all = "PascalCase",
    default = "ContainerPort::default"
)]
struct ContainerPortDocument {
    name: String,
    protocol: String,
    port: i32,
    host_port: i32,
    host_port_range: Option<PortRange>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "PortRange",
    rename_all = "PascalCase",
    default = "PortRange::default"
)]
struct PortRangeDocument {
    start: i32,
    end: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "MatchAllocation",
    rename_all = "PascalCase",
    default = "MatchAllocation::default"
)]
struct MatchAllocationDocument {
    max_matches: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Autoscaling",
    rename_all = "PascalCase",
    default = "Autoscaling::default"
)]
struct AutoscalingDocument {
    enabled: bool,
    min: i32,
    max: i32,
    cooldown: i32,
    policy: Policy,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Policy",
    rename_all = "PascalCase",
    default = "Policy::default"
)]
struct PolicyDocument {
    #[serde(rename = "Type")]
    kind: PolicyKind,
    parameters: PolicyParameters,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "PolicyParameters",
    rename_all = "PascalCase",
    default = "PolicyParameters::default"
)]
struct PolicyParametersDocument {
    room_occupancy: Option<RoomOccupancy>,
    fixed_buffer: Option<FixedBuffer>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "RoomOccupancy",
    rename_all = "PascalCase",
    default = "RoomOccupancy::default"
)]
struct RoomOccupancyDocument {
    ready_target: f64,
    down_threshold: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "FixedBuffer",
    rename_all = "PascalCase",
    default = "FixedBuffer::default"
)]
struct FixedBufferDocument {
    amount: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Forwarder",
    rename_all = "PascalCase",
    default = "Forwarder::default"
)]
struct ForwarderDocument {
    name: String,
    enabled: bool,
    forward_type: String,
    address: String,
    options: Option<ForwarderOptions>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "ForwarderOptions",
    rename_all = "PascalCase",
    default = "ForwarderOptions::default"
)]
struct ForwarderOptionsDocument {
    timeout: i64,
    #[serde(deserialize_with = "null_as_default")]
    metadata: Map<String, Value>,
}

/// A time that the original's documents write as year one when it is unset.
mod go_time {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const ZERO: &str = "0001-01-01T00:00:00Z";

    pub fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => at.serialize(serializer),
            None => serializer.serialize_str(ZERO),
        }
    }

    pub fn deserialize<'de, D>(deserializer: D) -> Result<Option<Timestamp>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        if text.is_empty() || text.starts_with("0001-01-01T") {
            return Ok(None);
        }
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An empty list of a container is written as null, as in the original (contract 15.25).
fn empty_as_null<S, T>(list: &[T], serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Serialize,
{
    if list.is_empty() {
        return serializer.serialize_none();
    }
    list.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As it was written when the domain type itself was the document.
    const RECORDED: &str = include_str!("document.json");

    #[test]
    fn a_recorded_document_is_written_as_it_was_read() {
        let scheduler: Scheduler = serde_json::from_str(RECORDED).unwrap();
        assert_eq!(serde_json::to_string(&scheduler).unwrap(), RECORDED);
    }

    #[test]
    fn what_is_absent_or_null_has_its_default() {
        let read: Scheduler = serde_json::from_value(json!({
            "Name": "arena", "Forwarders": null, "LastDownscaleAt": null,
            "Spec": {"Containers": [{"Command": null, "Environment": [{"Value": null}], "Ports": null}]},
        }))
        .unwrap();
        let container = Container {
            environment: vec![Environment::default()],
            ..Container::default()
        };
        let expected = Scheduler {
            name: "arena".into(),
            spec: Spec {
                containers: vec![container],
                ..Spec::default()
            },
            ..Scheduler::default()
        };
        assert_eq!(read, expected);
        // Clients see the difference (contract 8.1).
        for forwarders in [json!(null), json!([])] {
            let read: Scheduler =
                serde_json::from_value(json!({"Forwarders": forwarders})).unwrap();
            assert_eq!(
                serde_json::to_value(&read).unwrap()["Forwarders"],
                forwarders
            );
        }
    }

    #[test]
    fn no_downscale_yet_is_year_one() {
        let at = "2026-01-02T03:04:05.000000006Z";
        for (text, moment) in [("0001-01-01T00:00:00Z", None), (at, at.parse().ok())] {
            let read: Scheduler = serde_json::from_value(json!({"LastDownscaleAt": text})).unwrap();
            assert_eq!(read.last_downscale_at, moment);
            let written = serde_json::to_value(&read).unwrap();
            assert_eq!(written["LastDownscaleAt"], text);
        }
    }
}
