//! A scheduler: the definition of one fleet of rooms (contract 2.3, 4, 8.1).
//!
//! The stored form of these types is in [`super::document`], their HTTP form in the API's `codec`.

use super::ids::SchedulerName;
use super::version::SchedulerVersion;
use super::words::{PolicyKind, RestartPolicy, SchedulerPhase, Surge};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A version of a scheduler: the document that clients edit, with what Maestro adds to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheduler {
    /// Its name, the same in all versions.
    pub name: SchedulerName,
    /// The game that it belongs to; listings filter by it.
    pub game: String,
    /// Its state; counts only in the active version.
    pub state: SchedulerPhase,
    /// The version that was active before; a rollback switches to it. Empty if there is none.
    pub rollback_version: String,
    /// What a room is made of; changes of it make a major version.
    pub spec: Spec,
    /// The autoscaling; `None` if the scheduler has none.
    pub autoscaling: Option<Autoscaling>,
    /// Range of the rooms' host ports; `None` if every port has a range of its own.
    pub port_range: Option<PortRange>,
    /// Desired number of rooms while autoscaling is off.
    pub rooms_replicas: i32,
    /// When this version was made; the epoch until it is stored.
    pub created_at: Timestamp,
    /// When the fleet last shrank, from which the cooldown is measured; `None` if it never did.
    pub last_downscale_at: Option<Timestamp>,
    /// Rooms that a rollout may have beyond the desired number.
    pub max_surge: Surge,
    /// Receivers of the events of rooms and players. `None` in old documents, which are shown as they are.
    pub forwarders: Option<Vec<Forwarder>>,
    /// Arbitrary texts. `None` and empty differ: emptying them is a change (contract 4.2).
    pub annotations: Option<BTreeMap<String, String>>,
    /// Texts to select by; `None` and empty differ as for annotations.
    pub labels: Option<BTreeMap<String, String>>,
    /// Absent in old documents, which means one match (contract 8.1).
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
            forwarders: None,
            annotations: None,
            labels: None,
            match_allocation: None,
        }
    }
}

impl Scheduler {
    /// The receivers of the events of its rooms, in their order.
    pub fn forwarders(&self) -> &[Forwarder] {
        self.forwarders.as_deref().unwrap_or_default()
    }

    /// Concurrent matches per room; at least one.
    pub fn max_matches(&self) -> i64 {
        self.match_allocation
            .map_or(1, |m| i64::from(m.max_matches).max(1))
    }
    /// The version of this document.
    pub fn version(&self) -> &SchedulerVersion {
        &self.spec.version
    }
}

/// The part of a scheduler that affects the room itself: its pod or its processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// The version of the scheduler, which the original keeps here.
    pub version: SchedulerVersion,
    /// Nanoseconds (contract 5.5).
    pub termination_grace_period: i64,
    /// The containers of a room; each room runs all of them.
    pub containers: Vec<Container>,
    /// Value of the taint `dedicated` that rooms tolerate; Kubernetes only. Empty for none.
    pub toleration: String,
    /// Label that nodes of rooms must have; Kubernetes only. Empty for none.
    pub affinity: String,
    /// When a container that has ended is restarted in place.
    pub restart_policy: RestartPolicy,
}

impl Spec {
    /// Time between TERM and KILL; negative values count as zero.
    pub fn grace(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.termination_grace_period.max(0).unsigned_abs())
    }
}

/// One container of a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Unique in its spec.
    pub name: String,
    /// The image with its tag; local processes ignore it.
    pub image: String,
    /// `Always`, `Never` or `IfNotPresent`; local processes ignore it.
    pub image_pull_policy: String,
    /// Program and arguments; empty for the image's own command.
    pub command: Vec<String>,
    /// Environment variables, in the order of the request.
    pub environment: Vec<Environment>,
    /// Resources guaranteed to the container.
    pub requests: Resources,
    /// Maximum resources of the container.
    pub limits: Resources,
    /// Ports that the container listens on.
    pub ports: Vec<ContainerPort>,
}

/// An environment variable of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// The variable's name.
    pub name: String,
    /// Its value; empty if the value comes from `value_from`.
    pub value: String,
    /// The source of its value; `None` if it has a value of its own.
    pub value_from: Option<ValueFrom>,
}

/// The source of a variable's value; one of its fields is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueFrom {
    /// A field of the room.
    pub field_ref: Option<FieldRef>,
    /// A key of a secret.
    pub secret_key_ref: Option<SecretKeyRef>,
}

/// A field of the room itself, in the notation of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRef {
    /// The path, such as `metadata.name`.
    pub field_path: String,
}

/// A key of a secret: in Kubernetes, or a file below `secrets/` of the data folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretKeyRef {
    /// Name of the secret.
    pub name: String,
    /// Key within the secret.
    pub key: String,
}

/// Kubernetes quantities as text, for example `100m` and `64Mi`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// Bytes, such as `64Mi`.
    pub memory: String,
    /// Cores, such as `100m` for a tenth of one.
    pub cpu: String,
}

/// A port of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerPort {
    /// Its name, by which rooms and matchmakers know it.
    pub name: String,
    /// `tcp`, `udp` or `sctp`, lower case.
    pub protocol: String,
    /// The port that the container listens on.
    pub port: i32,
    /// A fixed host port; 0 draws one from a range.
    pub host_port: i32,
    /// Range for this port only; `None` draws from the scheduler's range.
    pub host_port_range: Option<PortRange>,
}

/// Host ports, both ends included (contract 4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub start: i32,
    /// Last port.
    pub end: i32,
}

/// How matches are assigned to rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchAllocation {
    /// Concurrent matches per room, at least 1.
    pub max_matches: i32,
}

impl Default for MatchAllocation {
    fn default() -> Self {
        Self { max_matches: 1 }
    }
}

/// The autoscaling of a scheduler (contract 5.7).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Autoscaling {
    /// Whether the policy sets the number of rooms; otherwise `rooms_replicas` does.
    pub enabled: bool,
    /// Minimum number of rooms.
    pub min: i32,
    /// -1: no limit.
    pub max: i32,
    /// Seconds between two scale-downs.
    pub cooldown: i32,
    /// How the number of rooms is computed.
    pub policy: Policy,
}

/// An autoscaling policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Which policy it is.
    pub kind: PolicyKind,
    /// Its parameters; those of its kind must be set.
    pub parameters: PolicyParameters,
}

/// Parameters of all kinds of policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyParameters {
    /// For [`PolicyKind::RoomOccupancy`].
    pub room_occupancy: Option<RoomOccupancy>,
    /// For [`PolicyKind::FixedBuffer`].
    pub fixed_buffer: Option<FixedBuffer>,
}

/// Ratios as the shortest decimal that was sent: a 32-bit float of the wire is converted through its text, so that 0.3
/// stays 0.3 (D12).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoomOccupancy {
    /// Share of the match slots to keep free: more than 0, less than 1.
    pub ready_target: f64,
    /// Rooms are removed only if the smaller fleet needs at most this share of the slots that are free now; 0 stands
    /// for the default of 0.99.
    pub down_threshold: f64,
}

/// Parameters of the policy that keeps a fixed number of rooms ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedBuffer {
    /// Number of ready rooms to keep in addition to the occupied ones.
    pub amount: i32,
}

/// A service that receives the events of rooms and players (contract 6).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forwarder {
    /// Its name, unique in its scheduler.
    pub name: String,
    /// Whether events are sent to it.
    pub enabled: bool,
    /// Always `gRPC`.
    pub forward_type: String,
    /// Host and port.
    pub address: String,
    /// `None` in old documents; defaults apply then (contract 2.3).
    pub options: Option<ForwarderOptions>,
}

/// How events are sent to a forwarder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForwarderOptions {
    /// Timeout of a call in milliseconds.
    pub timeout: i64,
    /// Sent along with every event (contract 6.3).
    pub metadata: Map<String, Value>,
}
