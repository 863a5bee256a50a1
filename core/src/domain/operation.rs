//! Operations: durable, cancellable work with a history (contract 5).

use super::ids::{OperationId, RoomId, SchedulerName};
use super::live_version::ConfigRestart;
use super::reason::ReasonWord;
use super::resume::ResumeState;
use super::runtime_record::PlatformFault;
use super::scheduler::Scheduler;
use super::version::SchedulerVersion;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Status of an operation. The numbers are stored, in the contract's odd order (contract 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum OperationStatus {
    /// In its queue.
    Pending = 0,
    /// It is running, or being rolled back.
    InProgress = 1,
    /// It was canceled, before or while it ran.
    Canceled = 2,
    /// It succeeded.
    Finished = 3,
    /// It was not run, because its kind is unknown (D19).
    Evicted = 4,
    /// It failed and was rolled back as far as possible.
    Error = 5,
}

impl OperationStatus {
    /// The word in the API.
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
    /// Whether the operation has ended.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress)
    }
}

/// One of the two lanes of a scheduler (architecture 6): one operation runs per lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Create, new version, switch, delete.
    Version,
    /// Add, remove, health, clean-up, test.
    Room,
}

/// The kind of an operation, with its input (contract 5.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    /// Creates the scheduler's row and prepares its place in the runtime.
    CreateScheduler {
        /// The complete scheduler, at version `v1.0.0`.
        scheduler: Arc<Scheduler>,
    },
    /// Makes an edit a version: validates it if it is a major one, stores it, then orders the switch to it.
    CreateNewSchedulerVersion {
        /// The complete scheduler as it is to be.
        scheduler: Arc<Scheduler>,
    },
    /// Makes a stored version the active one.
    SwitchActiveVersion {
        /// The version to activate.
        new_active_version: SchedulerVersion,
    },
    /// Makes the place of a runtime and the rights in it, also before there is a scheduler.
    CreateRuntime {
        /// What the caller can do about its failure. The rest of the journal is forgotten with the end.
        fault: Option<PlatformFault>,
    },
    /// Gives a version of a managed scheduler its rooms.
    StartVersion {
        /// The version to start.
        version: SchedulerVersion,
    },
    /// Ends the rooms of a version.
    StopVersion {
        /// The version to stop.
        version: SchedulerVersion,
        /// Does not wait for matches.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Makes a started version the active one, whose rooms callers get.
    PublishVersion {
        /// The version to publish.
        version: SchedulerVersion,
    },
    /// Gives the rooms of a version to nobody any more.
    UnpublishVersion {
        /// The published version.
        version: SchedulerVersion,
    },
    /// Replaces rooms whose configuration was replaced. The pairs are stored with the version and are no part of this,
    /// because they may be secrets.
    UpdateVersionConfig {
        /// The version whose configuration was replaced.
        version: SchedulerVersion,
        /// What happens to its running rooms.
        restart: ConfigRestart,
    },
    /// Adds rooms.
    AddRooms {
        /// How many.
        amount: i32,
        /// The version that they are created from; `None`: the active one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<SchedulerVersion>,
    },
    /// Removes rooms, either an amount or those that are named.
    RemoveRooms {
        /// How many; 0 if rooms are named.
        amount: i32,
        /// The rooms to remove; `None` leaves the choice to [`crate::rules::deletion`].
        rooms_ids: Option<Vec<RoomId>>,
        /// Why, as histories and metrics show it.
        reason: ReasonWord,
        /// Set for a user's order by amount that also ends rooms with a match, at once (D27).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
        /// Of an amount: the version whose rooms are removed; `None`: of any, or of a managed scheduler the active one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<SchedulerVersion>,
    },
    /// Replaces rooms that were silent, unready or ending for too long, and scales the fleet.
    HealthController {
        /// Whether there was anything to do; `None` until it has run.
        took_action: Option<bool>,
    },
    /// Deletes ended operations whose retention is over.
    StorageCleanUp,
    /// Removes all rooms, then the scheduler.
    DeleteScheduler,
    /// Does nothing but take time; for tests of the queue.
    TestOperation {
        /// How many seconds it takes.
        sleep_seconds: i64,
    },
    /// A kind that is unknown here, or an input that is not one of its kind; it is kept as found and evicted (D19).
    Unknown {
        /// The kind that another program gave it.
        name: String,
        /// Its input as JSON text.
        contents: String,
    },
}

impl Definition {
    /// The kind's name in documents, in the API and in metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::CreateScheduler { .. } => "create_scheduler",
            Self::CreateNewSchedulerVersion { .. } => "create_new_scheduler_version",
            Self::SwitchActiveVersion { .. } => "switch_active_version",
            Self::CreateRuntime { .. } => "create_runtime",
            Self::StartVersion { .. } => "start_version",
            Self::StopVersion { .. } => "stop_version",
            Self::PublishVersion { .. } => "publish_version",
            Self::UnpublishVersion { .. } => "unpublish_version",
            Self::UpdateVersionConfig { .. } => "update_version_config",
            Self::AddRooms { .. } => "add_rooms",
            Self::RemoveRooms { .. } => "remove_rooms",
            Self::HealthController { .. } => "health_controller",
            Self::StorageCleanUp => "storage_clean_up",
            Self::DeleteScheduler => "delete_scheduler",
            Self::TestOperation { .. } => "test_operation",
            Self::Unknown { name, .. } => name,
        }
    }

    /// The lane whose queue it waits in.
    pub fn lane(&self) -> Lane {
        match self {
            Self::CreateScheduler { .. }
            | Self::CreateNewSchedulerVersion { .. }
            | Self::SwitchActiveVersion { .. }
            | Self::CreateRuntime { .. }
            | Self::StartVersion { .. }
            | Self::StopVersion { .. }
            | Self::PublishVersion { .. }
            | Self::UnpublishVersion { .. }
            | Self::UpdateVersionConfig { .. }
            | Self::DeleteScheduler => Lane::Version,
            _ => Lane::Room,
        }
    }

    /// Edits of versions exclude each other (contract 2.4, conflicts), also those of another program whose input cannot
    /// be read.
    pub fn is_version_edit(&self) -> bool {
        matches!(
            self.name(),
            "create_new_scheduler_version" | "switch_active_version" | "publish_version"
        )
    }

    /// The version that it starts, stops, publishes or configures. Only one such operation per version is open.
    pub fn live_version(&self) -> Option<&SchedulerVersion> {
        match self {
            Self::StartVersion { version }
            | Self::StopVersion { version, .. }
            | Self::PublishVersion { version }
            | Self::UnpublishVersion { version }
            | Self::UpdateVersionConfig { version, .. } => Some(version),
            _ => None,
        }
    }

    /// Whether it leaves its lane once it has begun: it waits for rooms that other operations create and end, or until
    /// the platform leads to the published version.
    pub fn observes(&self) -> bool {
        matches!(
            self,
            Self::StartVersion { .. }
                | Self::StopVersion { .. }
                | Self::PublishVersion { .. }
                | Self::UnpublishVersion { .. }
                | Self::UpdateVersionConfig { .. }
        )
    }

    /// Whether a *finished* operation took no action and therefore stays out of the history (contract 5.11).
    pub fn is_no_action(&self) -> bool {
        match self {
            Self::HealthController { took_action } => *took_action != Some(true),
            Self::StorageCleanUp => true,
            _ => false,
        }
    }

    /// Whether it is kept for a day only; others are kept up to the retention's limit (contract 5.11).
    pub fn is_periodic(&self) -> bool {
        matches!(
            self,
            Self::HealthController { .. }
                | Self::StorageCleanUp
                | Self::AddRooms { .. }
                | Self::RemoveRooms { .. }
        )
    }

    /// The input as the contract stores and shows it (`input` of GetOperation).
    pub fn to_json(&self) -> Value {
        match self {
            Self::CreateScheduler { scheduler } | Self::CreateNewSchedulerVersion { scheduler } => {
                json!({ "scheduler": scheduler })
            }
            Self::SwitchActiveVersion { new_active_version } => {
                json!({ "newActiveVersion": new_active_version })
            }
            Self::StartVersion { version }
            | Self::PublishVersion { version }
            | Self::UnpublishVersion { version } => json!({ "version": version }),
            Self::StopVersion { version, force } => json!({ "version": version, "force": force }),
            Self::UpdateVersionConfig { version, restart } => {
                json!({ "version": version, "restart": restart })
            }
            Self::AddRooms { amount, version } => {
                let mut input = json!({ "amount": amount });
                set_version(&mut input, version.as_ref());
                input
            }
            Self::RemoveRooms {
                amount,
                rooms_ids,
                reason,
                force,
                version,
            } => {
                let mut input =
                    json!({ "amount": amount, "rooms_ids": rooms_ids, "reason": reason });
                // Omitted unless set: the contract's input has no such field.
                if *force {
                    input["force"] = json!(true);
                }
                set_version(&mut input, version.as_ref());
                input
            }
            Self::HealthController {
                took_action: Some(took),
            } => json!({ "took_action": took }),
            Self::CreateRuntime { fault: Some(fault) } => json!({ "fault": fault }),
            Self::HealthController { took_action: None }
            | Self::CreateRuntime { fault: None }
            | Self::StorageCleanUp
            | Self::DeleteScheduler => json!({}),
            Self::TestOperation { sleep_seconds } => json!({ "sleepSeconds": sleep_seconds }),
            Self::Unknown { contents, .. } => {
                serde_json::from_str(contents).unwrap_or_else(|_| json!({}))
            }
        }
    }
}

/// Omitted if there is none: the contract's inputs have no such field.
fn set_version(input: &mut Value, version: Option<&SchedulerVersion>) {
    if let Some(version) = version {
        input["version"] = json!(version);
    }
}

/// An entry of an operation's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationEvent {
    /// When it happened.
    pub created_at: Timestamp,
    /// What happened, in words that are part of the contract.
    pub event: String,
}

/// An operation as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Unique among all schedulers; rooms that it creates derive their ids from it.
    pub id: OperationId,
    /// The scheduler whose queue it is in.
    pub scheduler: SchedulerName,
    /// What it does, with its input.
    pub definition: Definition,
    /// Where it stands.
    pub status: OperationStatus,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When it got its present status, which orders the history (contract 2.4).
    pub status_at: Timestamp,
    /// What happened, oldest first.
    pub history: Vec<OperationEvent>,
    /// Queued before ordinary operations of its lane (contract 5.2).
    pub priority: bool,
    /// When its lease ends; `None` while it is queued and after its end (contract 5.9).
    pub lease_until: Option<Timestamp>,
    /// What the next owner needs in order to resume it.
    #[serde(rename = "journal")]
    pub resume: ResumeState,
}

impl OperationRecord {
    /// Begins the line of a history that says why the operation failed.
    pub const FAILED: &str = "operation execution failed";

    /// Begins the line of a history that says why the operation was canceled.
    pub const CANCELED: &str = "operation canceled";

    /// Why it failed, also after its end; `None` if it did not.
    pub fn failure(&self) -> Option<&str> {
        self.last_after(Self::FAILED)
    }

    /// Why it was canceled, also after its end; `None` if it was not.
    pub fn cancelation(&self) -> Option<&str> {
        self.last_after(Self::CANCELED)
    }

    fn last_after(&self, word: &str) -> Option<&str> {
        let lines = self.history.iter().rev();
        let mut found = lines.filter_map(|line| line.event.strip_prefix(word));
        found.find_map(|rest| rest.strip_prefix(": "))
    }
}
