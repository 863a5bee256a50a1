//! The JSON of a room's instance in `podMap` (contract 8.2), with our member `maestro`, which the original ignores.

use jiff::Timestamp;
use maestro_core::domain::{
    Address, InstanceStatus, OperationId, Removal, Restart, SchedulerVersion,
};
use serde::{Deserialize, Serialize};

/// `podMap`'s JSON.
#[derive(Serialize, Deserialize)]
pub struct Pod {
    #[serde(default)]
    pub id: String,
    #[serde(default, rename = "schedulerId")]
    pub scheduler: String,
    #[serde(default)]
    pub status: PodStatus,
    #[serde(default)]
    pub address: Option<PodAddress>,
    #[serde(default, rename = "resourceVersion")]
    pub resource_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maestro: Option<Ours>,
}

#[derive(Default, Serialize, Deserialize)]
pub struct PodStatus {
    #[serde(default, rename = "type")]
    pub kind: i64,
    #[serde(default)]
    pub description: String,
}

impl PodStatus {
    pub fn known(&self) -> Option<InstanceStatus> {
        Some(match self.kind {
            0 => InstanceStatus::Unknown,
            1 => InstanceStatus::Pending,
            2 => InstanceStatus::Ready,
            3 => InstanceStatus::Terminating,
            4 => InstanceStatus::Error,
            _ => return None,
        })
    }
}

/// The status alone of a value of `podMap`; unknown if it cannot be read.
pub fn instance_status(pod: &str) -> InstanceStatus {
    #[derive(Deserialize)]
    struct OnlyStatus {
        #[serde(default)]
        status: PodStatus,
    }
    let read = serde_json::from_str::<OnlyStatus>(pod);
    let status = read.ok().and_then(|pod| pod.status.known());
    status.unwrap_or_default()
}

/// The address alone of a value of `podMap`; `None` if it has none.
///
/// # Errors
/// If the value cannot be read.
pub fn instance_address(pod: &str) -> Result<Option<Address>, serde_json::Error> {
    #[derive(Deserialize)]
    struct OnlyAddress {
        #[serde(default)]
        address: Option<PodAddress>,
    }
    let read: OnlyAddress = serde_json::from_str(pod)?;
    Ok(read.address.map(PodAddress::address))
}

#[derive(Serialize, Deserialize)]
pub struct PodAddress {
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub ports: Option<Vec<maestro_core::domain::Port>>,
}

impl PodAddress {
    pub fn address(self) -> Address {
        Address {
            host: self.host,
            ports: self.ports.unwrap_or_default(),
        }
    }
}

/// What only we know about a room.
#[derive(PartialEq, Serialize, Deserialize)]
pub struct Ours {
    /// `None` if the room was found in the runtime.
    pub made_by: Option<OperationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ports: Option<Vec<u16>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub config_revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ready_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub played: bool,
    /// `None` before the instance exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<OurInstance>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(PartialEq, Serialize, Deserialize)]
pub struct OurInstance {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// `None` if it is the room's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<SchedulerVersion>,
    /// `None` if it is the room's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarting: Option<Restart>,
}
