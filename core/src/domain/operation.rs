//! Operations: durable, cancellable work with a history (contract 5).

use super::ids::{OperationId, RoomId, SchedulerName};
use super::reason::ReasonWord;
use super::scheduler::Scheduler;
use super::version::SchedulerVersion;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Status numbers are the stored ones, in their odd order (contract 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OperationStatus {
    Pending = 0,
    InProgress = 1,
    Canceled = 2,
    Finished = 3,
    Evicted = 4,
    Error = 5,
}

impl OperationStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Canceled => "canceled",
            Self::Finished => "finished",
            Self::Evicted => "evicted",
            Self::Error => "error",
        }
    }
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress)
    }
}

/// One of the two lanes of a scheduler (architecture 6): one operation runs per lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    Version,
    Room,
}

/// What an operation is to do, with its input (contract 5.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    CreateScheduler {
        scheduler: Arc<Scheduler>,
    },
    CreateNewSchedulerVersion {
        scheduler: Arc<Scheduler>,
    },
    SwitchActiveVersion {
        new_active_version: SchedulerVersion,
    },
    AddRooms {
        amount: i32,
    },
    RemoveRooms {
        amount: i32,
        rooms_ids: Option<Vec<RoomId>>,
        reason: ReasonWord,
        /// A user's order by amount ends rooms with a match too, at once (D27).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    HealthController {
        took_action: Option<bool>,
    },
    StorageCleanUp,
    DeleteScheduler,
    TestOperation {
        sleep_seconds: i64,
    },
    /// A definition nobody knows, kept as found and evicted (D19).
    Unknown {
        name: String,
        contents: String,
    },
}

impl Definition {
    pub fn name(&self) -> &str {
        match self {
            Self::CreateScheduler { .. } => "create_scheduler",
            Self::CreateNewSchedulerVersion { .. } => "create_new_scheduler_version",
            Self::SwitchActiveVersion { .. } => "switch_active_version",
            Self::AddRooms { .. } => "add_rooms",
            Self::RemoveRooms { .. } => "remove_rooms",
            Self::HealthController { .. } => "health_controller",
            Self::StorageCleanUp => "storage_clean_up",
            Self::DeleteScheduler => "delete_scheduler",
            Self::TestOperation { .. } => "test_operation",
            Self::Unknown { name, .. } => name,
        }
    }

    pub fn lane(&self) -> Lane {
        match self {
            Self::CreateScheduler { .. }
            | Self::CreateNewSchedulerVersion { .. }
            | Self::SwitchActiveVersion { .. }
            | Self::DeleteScheduler => Lane::Version,
            _ => Lane::Room,
        }
    }

    /// Version operations exclude each other's edits (contract 2.4, conflicts).
    pub fn is_version_edit(&self) -> bool {
        matches!(
            self,
            Self::CreateNewSchedulerVersion { .. } | Self::SwitchActiveVersion { .. }
        )
    }

    /// Whether a *finished* one took no action and stays out of the history (contract 5.11).
    pub fn is_no_action(&self) -> bool {
        match self {
            Self::HealthController { took_action } => *took_action != Some(true),
            Self::StorageCleanUp => true,
            _ => false,
        }
    }

    /// Kept for a day only; the others stay until the retention's bound (contract 5.11).
    pub fn is_periodic(&self) -> bool {
        matches!(
            self,
            Self::HealthController { .. }
                | Self::StorageCleanUp
                | Self::AddRooms { .. }
                | Self::RemoveRooms { .. }
        )
    }

    /// The definition as the contract stores and shows it (`input` of GetOperation).
    pub fn to_json(&self) -> Value {
        match self {
            Self::CreateScheduler { scheduler } | Self::CreateNewSchedulerVersion { scheduler } => {
                json!({ "scheduler": scheduler })
            }
            Self::SwitchActiveVersion { new_active_version } => {
                json!({ "newActiveVersion": new_active_version })
            }
            Self::AddRooms { amount } => json!({ "amount": amount }),
            Self::RemoveRooms {
                amount,
                rooms_ids,
                reason,
                force,
            } => {
                let mut input =
                    json!({ "amount": amount, "rooms_ids": rooms_ids, "reason": reason });
                // Absent unless asked for: the contract's input has no such field.
                if *force {
                    input["force"] = json!(true);
                }
                input
            }
            Self::HealthController {
                took_action: Some(took),
            } => json!({ "took_action": took }),
            Self::HealthController { took_action: None }
            | Self::StorageCleanUp
            | Self::DeleteScheduler => json!({}),
            Self::TestOperation { sleep_seconds } => json!({ "sleepSeconds": sleep_seconds }),
            Self::Unknown { contents, .. } => {
                serde_json::from_str(contents).unwrap_or_else(|_| json!({}))
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationEvent {
    pub created_at: Timestamp,
    pub event: String,
}

/// An operation as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationRecord {
    pub id: OperationId,
    pub scheduler: SchedulerName,
    pub definition: Definition,
    pub status: OperationStatus,
    pub created_at: Timestamp,
    /// When it came to its present status: the order of the history (contract 2.4).
    pub status_at: Timestamp,
    pub history: Vec<OperationEvent>,
    /// Ahead of ordinary ones in its lane (contract 5.2).
    pub priority: bool,
    /// End of its lease; `None` while it is queued and once it has ended (contract 5.9).
    pub lease_until: Option<Timestamp>,
    #[serde(rename = "journal")]
    pub resume: ResumeState,
}

/// What a resumed attempt has to know; not part of the contract's documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumeState {
    /// Grows with each (re)start, so that late results of an older one are dropped.
    pub attempt: u32,
    pub cancel_requested: bool,
    /// A user's order rather than our own decision (D16).
    pub by_user: bool,
    /// Another program put it into the queue: carried out as the original does (D27).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pushed: bool,
    /// Rooms that this operation created or is to remove.
    pub rooms: Vec<RoomId>,
    /// Word for where it stands, for people and for `/debug/actors`.
    pub step: String,
    /// Attempts of validation that failed.
    pub validation_attempts: u32,
    /// Set once it is being rolled back: the cause of it.
    pub failure: Option<String>,
    /// Id of the request that asked for it (X-Request-Id).
    pub request_id: Option<String>,
}
